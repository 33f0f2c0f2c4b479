"""A real browser, driven: what a page says to its console, asks for, and how it stands on paper."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, HttpCredentials, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

Scheme: TypeAlias = Literal["light", "dark"]

NARROW, WIDE = 400, 1200
PATIENCE_MS = 120_000
"""Bounds what a busy machine may take; a page that does what it should takes a second."""

expect.set_options(timeout=PATIENCE_MS)
_A4_INNER = 680
"""Pixels between the report's margins on A4: 180 mm at 96 to the inch."""
_OVER_THE_EDGE = """() => [...document.querySelectorAll('body *')]
    .filter(one => !one.closest('svg') && getComputedStyle(one).visibility !== 'hidden')
    .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(one => `${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 40)}`)"""
_SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll('body *')]
    .filter(one => [...one.childNodes].some(each => each.nodeType === 3 && each.data.trim()))
    .filter(one => !one.closest('svg') && one.getClientRects().length)
    .map(one => parseFloat(getComputedStyle(one).fontSize)))"""
_PLOTS = """() => [...document.querySelectorAll('svg[role=img]')].map(one => {
    const box = one.getBoundingClientRect();
    const marks = [...one.querySelectorAll('.mark')].map(each => each.getBoundingClientRect());
    return {
        title: one.querySelector('title').textContent,
        width: box.width, height: box.height,
        marks: marks.length,
        inside: marks.every(each => each.width > 4 && each.left >= box.left
            && each.right <= box.right && each.top >= box.top && each.bottom <= box.bottom),
    };
})"""
_SECTIONS = """() => [...document.querySelectorAll('section')]
    .filter(one => one.getBoundingClientRect().height > 20).map(one => one.id)"""


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that was opened, and what it did meanwhile."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """What it wrote to its console, and errors that nothing caught."""
    requests: list[str] = field(default_factory=list)

    def sections(self) -> set[str]:
        """Name the sections that take up room."""
        return set(self.page.evaluate(_SECTIONS))

    def plots(self) -> list[dict[str, object]]:
        """Describe the plots: their size, and whether every mark stands inside."""
        found: list[dict[str, object]] = self.page.evaluate(_PLOTS)
        return found

    def inaccessible(self) -> list[str]:
        """Return what axe refuses, each with the first place."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]

    def over_the_edge(self) -> list[str]:
        """Return what reaches over the right edge where nothing scrolls."""
        width = self.page.evaluate("document.documentElement.scrollWidth")
        shown = self.page.evaluate("document.documentElement.clientWidth")
        return [] if width <= shown else self.page.evaluate(_OVER_THE_EDGE)

    def smallest_text(self) -> float:
        """Return the size of the smallest text, in pixels."""
        return float(self.page.evaluate(_SMALLEST_TEXT))

    def on_paper(self) -> tuple[list[str], bytes]:
        """Return what reaches over the edge of A4, and the page as PDF."""
        self.page.emulate_media(media="print", color_scheme="light")
        self.page.set_viewport_size({"width": _A4_INNER, "height": 960})
        return self.page.evaluate(_OVER_THE_EDGE), self.page.pdf(prefer_css_page_size=True)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Lend a browser; no page of it keeps anything."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visited(
    browser: Browser,
    address: str,
    *,
    width: int = WIDE,
    scheme: Scheme = "light",
    credentials: HttpCredentials | None = None,
) -> Iterator[Visit]:
    """Open a page in a context of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, http_credentials=credentials
    )
    context.set_default_timeout(PATIENCE_MS)
    visit = Visit(context.new_page())
    visit.page.on("console", lambda message: visit.complaints.append(message.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.goto(address)
    try:
        yield visit
    finally:
        context.close()


def is_a4(pdf: bytes) -> bool:
    """Say whether every page of a PDF has the size of A4, in points."""
    boxes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", pdf)
    return bool(boxes) and all(
        abs(float(width) - 595.3) < 1 and abs(float(height) - 841.9) < 1 for width, height in boxes
    )
