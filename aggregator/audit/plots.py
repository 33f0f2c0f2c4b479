"""The geometry of the plots: judged rounds against the metric, drawn by the template as inline SVG.

* A figure that is undefined is not drawn: no mark, and the line breaks there.
* Bars show the noise that the sites added to their histograms, never the sampling of patients.
* All plots of a report share one scale, so that sites can be compared by eye.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from aggregator.audit.records import Judgement, Report
from schemas.gate import METRIC_NAMES, Outcome
from schemas.names import SiteName
from schemas.pages.plots import Tick

_MOST_LABELS = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """One judged figure with the ends of its noise bar, if it has one."""

    x: float
    y: float
    bar: tuple[float, float] | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Frame:
    """The box of a plot and the scale inside it, in the units of the SVG."""

    width: int
    height: int
    rounds: tuple[int, int]
    low: float
    high: float
    left: int = 44
    right: int = 14
    top: int = 12
    bottom: int = 30

    def x(self, number: int) -> float:
        """Place a round; a single one stands in the middle."""
        first, last = self.rounds
        share = 0.5 if first == last else (number - first) / (last - first)
        inner = self.width - self.left - self.right - 24
        return round(self.left + 12 + share * inner, 1)

    def y(self, figure: float) -> float:
        """Place a figure, held inside the frame."""
        share = (min(max(figure, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 1)


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot, ready to be drawn."""

    identity: str
    site: SiteName | None
    """None: all sites."""
    title: str
    description: str
    frame: Frame
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    lines: tuple[str, ...]
    """Points of each unbroken stretch."""


@dataclass(frozen=True, slots=True)
class _Point:
    """A figure of one judgement; None: undefined."""

    round: int
    outcome: Outcome
    value: float | None
    deviation: float | None


def stratified_plot(report: Report) -> Plot | None:
    """Draw the stratified figure; None when no judgement has one."""
    points = [_stratified(one) for one in report.judgements]
    if all(one.value is None for one in points):
        return None
    frame = _frame(report, width=440, height=250)
    return _plot(None, points, frame, report)


def site_plots(report: Report) -> tuple[Plot, ...]:
    """Draw one small plot for each site that has a figure at any judged round."""
    drawn = []
    for row in report.sites:
        points = [_of_site(one, row.site) for one in report.judgements]
        if any(one.value is not None for one in points):
            frame = _frame(report, width=260, height=170)
            drawn.append(_plot(row.site, points, frame, report))
    return tuple(drawn)


def _stratified(one: Judgement) -> _Point:
    verdict = one.verdict
    return _Point(verdict.round, verdict.outcome, verdict.value, one.deviation)


def _of_site(one: Judgement, site: SiteName) -> _Point:
    metric = next((each for each in one.verdict.sites if each.site == site), None)
    value = metric.value if metric else None
    deviation = metric.deviation if metric else None
    return _Point(one.verdict.round, one.verdict.outcome, value, deviation)


def _plot(site: SiteName | None, points: Sequence[_Point], frame: Frame, report: Report) -> Plot:
    name, z = METRIC_NAMES[report.plan.metric], _z(report)
    told = "; ".join(
        f"round {one.round} {'undefined' if one.value is None else format(one.value, '.3f')}, "
        f"{one.outcome}"
        for one in points
    )
    return Plot(
        identity=f"site-{site}" if site else "stratified",
        site=site,
        title=f"{f'{name} of {site}' if site else f'Stratified {name}'} by judged round",
        description=f"{told}.",
        frame=frame,
        x_ticks=_round_ticks([one.round for one in points], frame),
        y_ticks=_figure_ticks(frame),
        marks=tuple(_mark(one, one.value, frame, z=z) for one in points if one.value is not None),
        lines=_lines(points, frame),
    )


def _mark(point: _Point, value: float, frame: Frame, *, z: float) -> Mark:
    bar = None
    if point.deviation:
        reach = z * point.deviation
        bar = (frame.y(value - reach), frame.y(value + reach))
    return Mark(frame.x(point.round), frame.y(value), bar, point.outcome)


def _lines(points: Sequence[_Point], frame: Frame) -> tuple[str, ...]:
    """Join neighbouring figures; an undefined one breaks the line."""
    stretches: list[list[str]] = [[]]
    for one in points:
        if one.value is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{frame.x(one.round)},{frame.y(one.value)}")
    return tuple(" ".join(stretch) for stretch in stretches if len(stretch) > 1)


def _frame(report: Report, *, width: int, height: int) -> Frame:
    """Span all figures with their bars, in steps of a tenth, inside [0, 1]."""
    reaches: list[float] = []
    for one in report.judgements:
        points = [_stratified(one), *(_of_site(one, each.site) for each in one.verdict.sites)]
        for point in points:
            if point.value is not None:
                reach = _z(report) * (point.deviation or 0.0)
                reaches += [point.value - reach, point.value + reach]
    low = max(0, math.floor(min(reaches, default=0.0) * 10)) / 10
    high = min(10, math.ceil(max(reaches, default=1.0) * 10)) / 10
    low = min(low, round(high - 0.2, 1))
    numbers = [one.verdict.round for one in report.judgements]
    rounds = (min(numbers, default=1), max(numbers, default=1))
    return Frame(width=width, height=height, rounds=rounds, low=low, high=high)


def _round_ticks(numbers: Sequence[int], frame: Frame) -> tuple[Tick, ...]:
    distinct = sorted(set(numbers))
    every = -(-len(distinct) // _MOST_LABELS)
    return tuple(Tick(frame.x(number), str(number)) for number in distinct[::-1][::every][::-1])


def _figure_ticks(frame: Frame) -> tuple[Tick, ...]:
    tenths = range(round(frame.low * 10), round(frame.high * 10) + 1)
    every = 1 if len(tenths) <= 6 else 2  # noqa: PLR2004 - more lines than six crowd a small plot
    return tuple(Tick(frame.y(one / 10), f"{one / 10:.1f}") for one in tenths[::-1][::every])


def _z(report: Report) -> float:
    """Return how many deviations a bar reaches each way at the plan's confidence."""
    return NormalDist().inv_cdf((1 + report.plan.gate.confidence) / 2)
