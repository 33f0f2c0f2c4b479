"""The page in a real browser: whole, quiet, alone, accessible, narrow and on paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.aggregator.audit.test_rendering import PAGES, SECTIONS
from tests.browser import NARROW, WIDE, Scheme, browsing, is_a4, needs_chromium, visited

pytestmark = needs_chromium
every_page = pytest.mark.parametrize("name", sorted(PAGES))
PLOTS = {"private": 3, "open": 4, "empty": 0, "withheld": 4}
"""One for all sites, and one for each that ever had a figure."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture
def address(name: str, tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    path.write_text(PAGES[name], encoding="utf-8")
    return path.as_uri()


@every_page
def test_every_section_and_plot_is_drawn_and_nothing_else_is_asked_for(
    browser: Browser, name: str, address: str
) -> None:
    with visited(browser, address) as visit:
        assert visit.sections() == SECTIONS
        plots = visit.plots()
        assert len(plots) == PLOTS[name]
        for one in plots:
            assert one["inside"], one
            assert one["marks"] in {2, 4}, one
            assert one["width"] > 200 < 2 * one["height"], one  # type: ignore[operator]  # figures of the page
        assert visit.complaints == []
        assert [one for one in visit.requests if not one.startswith("data:")] == [address]


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
@every_page
def test_axe_finds_nothing(browser: Browser, address: str, width: int, scheme: Scheme) -> None:
    with visited(browser, address, width=width, scheme=scheme) as visit:
        assert visit.inaccessible() == []


def test_axe_would_find_something(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<html><body><img src='data:,'><p style='color:#ccc'>pale</p></body></html>")
    with visited(browser, path.as_uri()) as visit:
        assert {"color-contrast", "html-has-lang", "image-alt"} <= {
            one.partition(":")[0] for one in visit.inaccessible()
        }


@every_page
def test_it_is_readable_at_400_pixels(browser: Browser, address: str) -> None:
    with visited(browser, address, width=NARROW) as visit:
        assert visit.over_the_edge() == []
        assert visit.smallest_text() >= 11


@every_page
def test_it_prints_on_a4_with_nothing_cut_off(browser: Browser, address: str) -> None:
    with visited(browser, address) as visit:
        beyond, pdf = visit.on_paper()
        assert beyond == []
        assert is_a4(pdf)
