"""The page: complete, self-contained, escaped and readable by everyone."""

import itertools
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from aggregator.audit.rendering import render
from aggregator.audit.report import Report, report
from tests.aggregator.audit import runs

SECTIONS = {
    "verdicts",
    "left",
    "privacy",
    "rounds",
    "gate",
    "exceptions",
    "model",
    "release",
    "dataset",
    "sites",
    "plan",
    "software",
    "verify",
}
WORDS = {"train": "Updates", "evaluate": "Histograms"}
"""What the JSON names by purpose, and the page by artefact."""
VOID = {"meta", "link", "br"}
LINKS = {"href", "src", "srcset", "action", "data", "poster", "xlink:href", "formaction"}


class Page(HTMLParser):
    """A page taken apart: its elements, its text, and what is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def named(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)


def reported(log: runs.Log) -> Report:
    return report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts())


REPORTS = {
    "private": reported(runs.private_run()),
    "open": reported(runs.open_run()),
    "empty": reported(runs.empty_run()),
    "withheld": reported(runs.withheld_run()),
}
PAGES = {name: render(one) for name, one in REPORTS.items()}
every_page = pytest.mark.parametrize("name", sorted(PAGES))


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value


@every_page
def test_every_section_is_there_and_linked_and_every_element_is_closed(name: str) -> None:
    page = Page(PAGES[name])
    assert page.open == []
    sections = [one["id"] for one in page.named("section")]
    assert len(sections) == len(set(sections))
    assert set(sections) == SECTIONS
    names = [one["id"] for _, one in page.elements if "id" in one]
    assert len(names) == len(set(names))
    for anchor in page.named("a"):
        assert anchor["href"].removeprefix("#") in names


@every_page
def test_nothing_is_fetched_from_anywhere_and_nothing_runs(name: str) -> None:
    page = Page(PAGES[name])
    assert page.named("script", "iframe", "object", "embed", "img", "form", "base") == []
    for _, attributes in page.elements:
        assert not [one for one in attributes if one.startswith("on")]
        for link in LINKS & attributes.keys():
            assert attributes[link].startswith("#") or attributes[link] == "data:,"
    assert "@import" not in PAGES[name]
    assert "url(" not in PAGES[name]
    assert "http:" not in PAGES[name]
    assert "https:" not in PAGES[name]
    policy = next(one for one in page.named("meta") if "http-equiv" in one)
    assert policy["content"].startswith("default-src 'none'")


@every_page
def test_every_number_of_the_json_is_on_the_page(name: str) -> None:
    text = Page(PAGES[name]).text.replace(",", "")
    shown = [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]
    for value in leaves(json.loads(REPORTS[name].canonical())):
        if isinstance(value, int | float) and not isinstance(value, bool):
            near = 0.051 if value > 1 else 0.00051
            assert any(abs(one - value) <= near for one in shown), value


@every_page
def test_every_digest_key_and_sentence_of_the_json_is_on_the_page(name: str) -> None:
    text = Page(PAGES[name]).text
    times = re.compile(r"\d{4}-\d\d-\d\dT")
    for value in leaves(json.loads(REPORTS[name].canonical())):
        if isinstance(value, str) and not times.match(value):
            shown = WORDS.get(value, re.sub(r"\s+", " ", value).strip())
            assert shown in text, value


@every_page
def test_headings_stand_in_order_and_tables_have_captions_and_scopes(name: str) -> None:
    page = Page(PAGES[name])
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(page.named("table")) == len(page.named("caption"))
    assert all("scope" in one for one in page.named("th"))


def test_each_plot_has_a_title_and_a_description_and_no_undefined_figure() -> None:
    page = Page(PAGES["private"])
    drawn = [one for one in page.named("svg") if one.get("role") == "img"]
    assert [one["aria-labelledby"] for one in drawn] == [
        "stratified-title stratified-desc",
        "site-charite-title site-charite-desc",
        "site-leeds-title site-leeds-desc",
    ]
    assert all("aria-hidden" in one for one in page.named("svg") if one not in drawn)
    assert (
        "No figure at any judged round, so nothing is drawn: undefined at round 2, 4, 8"
        in page.text
    )


def test_a_report_without_a_judged_round_draws_nothing() -> None:
    page = Page(PAGES["empty"])
    assert page.named("svg") == []
    assert "No round has been judged yet" in page.text
    assert "Planned judgements that were not made: rounds 2, 4, 6, 8." in page.text


def test_a_plan_without_privacy_is_shown_in_red_and_in_words() -> None:
    page = Page(PAGES["open"])
    assert [one for one in page.named("p") if one.get("class") == "alarm"]
    assert [one for one in page.named("li") if one.get("class") == "FAIL"]
    assert "No differential privacy." in page.text
    assert "No noise was added to the histograms" in page.text


def test_only_commands_that_reproduce_a_verdict_are_named() -> None:
    text = Page(PAGES["private"]).text
    named = set(re.findall(r"(?:aggregator|hospital-node) \w+ \w+ --home DIR", text))
    assert named == {
        "aggregator audit report --home DIR",
        "aggregator audit verify --home DIR",
        "hospital-node budget show --home DIR",
    }


def test_hostile_text_stays_text() -> None:
    log = runs.private_run(title="<script>alert(1)</script><img src=x onerror=alert(2)>")
    log.quarantine("leeds", 8, "norm", "</style><svg onload=alert(3)> {{ 7 * 7 }} ' & javascript:x")
    log.close(8, '"><a href="https://example.org">go</a>')
    page = Page(render(reported(log)))
    assert page.named("script", "img") == []
    assert all("onload" not in one for one in page.named("svg"))
    assert "<script>alert(1)</script><img src=x onerror=alert(2)>" in page.text
    assert "</style><svg onload=alert(3)> {{ 7 * 7 }} ' & javascript:x" in page.text
    assert all(one["href"].startswith("#") for one in page.named("a"))


@every_page
def test_the_page_never_claims_conformance_with_a_law(name: str) -> None:
    assert "complian" not in PAGES[name].lower()


def palettes(html: str) -> list[dict[str, str]]:
    return [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    ]


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_colour_has_a_contrast_of_four_and_a_half_in_light_dark_and_print() -> None:
    found = palettes(PAGES["private"])
    assert len(found) == 3
    for palette in found:
        for text in ("ink", "soft", "pass", "attention", "fail", "line"):
            for ground in ("paper", "wash"):
                light, dark = sorted(
                    (luminance(palette[text]), luminance(palette[ground])), reverse=True
                )
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
