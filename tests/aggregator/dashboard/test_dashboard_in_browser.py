"""The dashboard in a real browser: whole, quiet, alone, accessible, narrow, and live."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, HttpCredentials, expect

from aggregator.config import AggregatorHome
from tests.aggregator.audit import runs
from tests.aggregator.dashboard import homes
from tests.browser import NARROW, WIDE, Scheme, browsing, needs_chromium, visited

pytestmark = needs_chromium
SECTIONS = {
    "": {"runs", "sites", "logs"},
    f"runs/{runs.RUN}": {
        "now",
        "verdicts",
        "rounds",
        "gate",
        "release",
        "left",
        "privacy",
        "exceptions",
        "logs",
    },
}
PLOTS = {"": 0, f"runs/{runs.RUN}": 3}
WHO = HttpCredentials(username="anyone", password=homes.TOKEN)
every_page = pytest.mark.parametrize("path", SECTIONS, ids=["federation", "run"])


@dataclass(frozen=True, slots=True)
class Served:
    """A dashboard that answers, and what a browser sees it with."""

    address: str
    home: AggregatorHome
    log: runs.Log
    browser: Browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = runs.private_run()
    home = homes.made(tmp_path_factory.mktemp("dashboard") / "home", log)
    homes.reported(home, log)
    with homes.served(home) as address, browsing() as browser:
        yield Served(address, home, log, browser)


@every_page
def test_every_section_and_plot_is_drawn_and_no_other_origin_is_asked(
    served: Served, path: str
) -> None:
    with visited(served.browser, f"{served.address}/{path}", credentials=WHO) as visit:
        expect(visit.page.locator("#status")).to_have_text("Live")
        assert visit.sections() == SECTIONS[path]
        plots = visit.plots()
        assert len(plots) == PLOTS[path]
        assert all(one["inside"] and one["marks"] == 4 for one in plots), plots
        assert visit.complaints == []
        asked = [one for one in visit.requests if not one.startswith("data:")]
        assert asked
        assert all(one.startswith(f"{served.address}/") for one in asked), asked
        assert visit.page.context.cookies() == []


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
@every_page
def test_axe_finds_nothing(served: Served, path: str, width: int, scheme: Scheme) -> None:
    address = f"{served.address}/{path}"
    with visited(served.browser, address, width=width, scheme=scheme, credentials=WHO) as visit:
        assert visit.inaccessible() == []


@every_page
def test_it_is_readable_at_400_pixels(served: Served, path: str) -> None:
    address = f"{served.address}/{path}"
    with visited(served.browser, address, width=NARROW, credentials=WHO) as visit:
        assert visit.over_the_edge() == []
        assert visit.smallest_text() >= 11


def test_the_links_lead_to_the_run_to_its_report_and_back(served: Served) -> None:
    with visited(served.browser, f"{served.address}/", credentials=WHO) as visit:
        visit.page.get_by_role("link", name=runs.RUN, exact=True).click()
        expect(visit.page.get_by_role("heading", level=1)).to_have_text(served.log.plan.title)
        visit.page.get_by_role("link", name="the written report").click()
        expect(visit.page).to_have_title(f"Report on run {runs.RUN} of lung-federation")
        visit.page.go_back()
        visit.page.get_by_role("link", name="Federation lung-federation").click()
        expect(visit.page.locator("#runs")).to_be_visible()
        assert visit.complaints == []


def test_a_browser_without_the_token_sees_nothing(served: Served) -> None:
    wrong = HttpCredentials(username="anyone", password="wrong")  # noqa: S106 - not the token
    with visited(served.browser, f"{served.address}/", credentials=wrong) as visit:
        assert visit.sections() == set()


def test_what_happens_is_shown_without_a_reload(served: Served, tmp_path: Path) -> None:
    log = runs.empty_run()
    log.move(1, "accepted", "opened")
    log.ask(1, "train")
    home = homes.made(tmp_path / "home", log)
    with (
        homes.served(home) as address,
        visited(served.browser, f"{address}/runs/{runs.RUN}", credentials=WHO) as visit,
    ):
        expect(visit.page.locator("#status")).to_have_text("Live")
        row = visit.page.locator("#now tbody tr", has_text="leeds")
        expect(row).to_contain_text("asked: train")
        visit.page.evaluate("window.stays = true")
        log.reply("leeds", 1, "train")
        log.refuse("hannover", 1, "train", "unavailable")
        with homes.journal_of(home) as journal:
            journal.append(*(one.facts for one in log.events[-2:]))
        expect(row).to_contain_text("replied")
        hannover = visit.page.locator("#now tbody tr", has_text="hannover")
        expect(hannover).to_contain_text("refused: unavailable")
        assert visit.page.evaluate("window.stays") is True
        assert visit.complaints == []
