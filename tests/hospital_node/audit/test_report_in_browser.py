"""The hospital's page in a real browser: whole, quiet, alone, accessible, narrow and on paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from hospital_node.audit.report import render
from tests.browser import NARROW, WIDE, browsing, is_a4, needs_chromium, visited
from tests.hospital_node.audit.test_report import SECTIONS, reported
from tests.study import made

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    study = made(tmp_path_factory.mktemp("study"), private=True)
    study.conducted()
    path = study.folder / "report.html"
    path.write_text(render(reported(study, "east")), encoding="utf-8")
    return path.as_uri()


def test_every_section_and_the_plot_are_drawn_and_nothing_else_is_asked_for(
    browser: Browser, address: str
) -> None:
    with visited(browser, address) as visit:
        assert visit.sections() == SECTIONS
        (plot,) = visit.plots()
        assert plot["inside"]
        assert plot["marks"] == 4
        assert visit.complaints == []
        assert [one for one in visit.requests if not one.startswith("data:")] == [address]


def test_it_is_accessible_readable_at_400_pixels_and_prints_on_a4(
    browser: Browser, address: str
) -> None:
    with visited(browser, address, width=WIDE) as visit:
        assert visit.inaccessible() == []
        beyond, pdf = visit.on_paper()
        assert beyond == []
        assert is_a4(pdf)
    with visited(browser, address, width=NARROW, scheme="dark") as visit:
        assert visit.inaccessible() == []
        assert visit.over_the_edge() == []
        assert visit.smallest_text() >= 11


def test_a_plain_file_is_enough(browser: Browser, address: str) -> None:
    assert Path(address.removeprefix("file://")).stat().st_size < 200_000
    with visited(browser, address) as visit:
        assert visit.page.title() == "Report of the site east"
