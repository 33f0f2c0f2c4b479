"""The contact sheet in a real browser: quiet, alone, accessible, and readable at 400 pixels."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Picture
from playwright.sync_api import Browser

from hospital_node.cohort.quarantine import Quarantined
from hospital_node.cohort.sheet import contact_sheet
from schemas.names import digest_of
from tests.browser import NARROW, WIDE, browsing, needs_chromium, visited

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


def picture(size: int) -> bytes:
    values = np.random.default_rng(size).integers(0, 256, (size, size), dtype=np.uint8)
    written = BytesIO()
    Picture.fromarray(values).save(written, "PNG")
    return written.getvalue()


def waiting(number: int, frames: int) -> Quarantined:
    return Quarantined(
        file=f"{number:032x}",
        codes=("burned-in-declared", "secondary-image"),
        contract=digest_of(b"contract"),
        image=digest_of(bytes([number])),
        patient=None,
        frames=frames,
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sheet") / "review.html"
    shown = [(waiting(1, 1), [picture(32)]), (waiting(2, 2), [picture(900), picture(64)])]
    path.write_text(contact_sheet(shown, left=3), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_it_fits_is_accessible_and_asks_for_nothing_else(
    browser: Browser, address: str, width: int
) -> None:
    with visited(browser, address, width=width) as visit:
        assert visit.inaccessible() == []
        assert visit.over_the_edge() == []
        assert visit.smallest_text() >= 11
        assert visit.complaints == []
        assert [one for one in visit.requests if not one.startswith("data:")] == [address]
        assert visit.page.locator("meta[name=viewport]").count() == 1


def test_it_says_how_to_decide_and_counts_frames(browser: Browser, address: str) -> None:
    with visited(browser, address) as visit:
        text = visit.page.inner_text("body")
        assert "cohort review --home DIR --decide refuse --file NAME --approver" in text
        assert "1 frame." in text
        assert "2 frames." in text
        assert "3 more wait" in text
        drawn = visit.page.evaluate("[...document.images].map(one => one.naturalWidth)")
        assert drawn == [32, 900, 64]
