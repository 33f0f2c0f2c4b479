"""The plot of a hospital's report: epsilon with every charge, under the cap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hospital_node.audit.records import ChargeRow
from schemas.pages.plots import Tick

WIDTH, HEIGHT = 440, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 14, 30
_MOST_MARKS = 60
_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """One part's epsilon, charge after charge."""

    part: str
    line: str
    marks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Ready to be drawn."""

    description: str
    curves: tuple[Curve, ...]
    cap: float | None
    """Where the cap's line stands; None: far above all that was spent."""
    ticks: tuple[Tick, ...]
    last: int


def spending_plot(charges: Sequence[ChargeRow], *, limit: float) -> Plot | None:
    """Draw epsilon by charge for both parts; None when nothing was charged."""
    parts = {
        part: [one.spent.rdp for one in charges if one.part == part and not one.is_voided]
        for part in ("train", "validation")
    }
    counts = {part: len(values) for part, values in parts.items() if values}
    if not counts:
        return None
    most = max(max(parts[part]) for part in counts)
    shows_cap = limit <= 3 * most  # a cap far above would press the curves flat
    high = max(most, limit) * 1.08 if shows_cap else most * 1.15
    last = max(counts.values())
    return Plot(
        description="; ".join(
            f"{part}: {count} charges, epsilon {parts[part][-1]:.3f} now"
            for part, count in counts.items()
        ),
        curves=tuple(_curve(part, parts[part], last, high) for part in counts),
        cap=_y(limit, high) if shows_cap else None,
        ticks=_ticks(high),
        last=last,
    )


def _curve(part: str, values: Sequence[float], last: int, high: float) -> Curve:
    points = [(_x(number, last), _y(one, high)) for number, one in enumerate(values, start=1)]
    every = -(-len(points) // _MOST_MARKS)
    line = " ".join(f"{x},{y}" for x, y in points)
    return Curve(part, line, tuple(points[::-1][::every][::-1]))


def _ticks(high: float) -> tuple[Tick, ...]:
    step = next((one for one in _STEPS if high / one <= _MOST_TICKS), _STEPS[-1])
    count = math.floor(high / step)
    return tuple(Tick(_y(at * step, high), f"{at * step:g}") for at in range(count + 1))


def _x(number: int, last: int) -> float:
    share = 0.5 if last == 1 else (number - 1) / (last - 1)
    return round(_LEFT + 12 + share * (WIDTH - _LEFT - _RIGHT - 24), 1)


def _y(value: float, high: float) -> float:
    return round(HEIGHT - _BOTTOM - value / high * (HEIGHT - _TOP - _BOTTOM), 1)
