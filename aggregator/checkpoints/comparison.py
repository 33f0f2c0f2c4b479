"""Two models side by side: how far apart their values are, and what the gate saw of each.

* Values are compared array by array in float64; no network is needed.
"""

import math

import numpy as np

from schemas.base import Record
from schemas.errors import InputRefused
from schemas.gate import Verdict
from schemas.names import SiteName
from schemas.wire.arrays import declared_layout, flat_values


class ArrayDistance(Record):
    """How far one array is from the other model's."""

    name: str
    values: int
    distance: float
    """L2 norm of the difference."""
    relative: float | None
    """Of the first array's own norm; None where that is 0."""


class SiteChange(Record):
    """One site's metric under both models, as it was released; None: undefined or not judged."""

    site: SiteName
    first: float | None
    second: float | None


class Comparison(Record):
    """What changed from a first model to a second."""

    values: int
    distance: float
    relative: float | None
    cosine: float | None
    """Of the two models' values; None where one of them is 0 throughout."""
    arrays: tuple[ArrayDistance, ...]
    sites: tuple[SiteChange, ...]


def compared(
    first: bytes, second: bytes, verdicts: tuple[Verdict | None, Verdict | None]
) -> Comparison:
    """Compare two models' files.

    Raises:
        InputRefused: they are of different layouts.
    """
    layout = declared_layout(first)
    if declared_layout(second) != layout:
        message = "comparison refused: the two models have different arrays, the same are needed"
        raise InputRefused(message, next_step="compare models of one network")
    left, right = flat_values(first, layout), flat_values(second, layout)
    rows, start = [], 0
    inner, squares = 0.0, [0.0, 0.0]
    for one in layout:
        a = left[start : start + one.size].astype(np.float64)
        b = right[start : start + one.size].astype(np.float64)
        start += one.size
        own = float(np.square(a).sum())
        squares = [squares[0] + own, squares[1] + float(np.square(b).sum())]
        inner += float((a * b).sum())
        rows.append(_distance(one.name, a.size, float(np.square(b - a).sum()), own))
    total = math.fsum(one.distance**2 for one in rows)
    whole = _distance("all", start, total, squares[0])
    norms = math.sqrt(squares[0] * squares[1])
    return Comparison(
        values=start,
        distance=whole.distance,
        relative=whole.relative,
        cosine=inner / norms if norms else None,
        arrays=tuple(rows),
        sites=_changes(*verdicts),
    )


def _distance(name: str, values: int, squared: float, own: float) -> ArrayDistance:
    relative = math.sqrt(squared / own) if own else None
    return ArrayDistance(name=name, values=values, distance=math.sqrt(squared), relative=relative)


def _changes(first: Verdict | None, second: Verdict | None) -> tuple[SiteChange, ...]:
    before, after = (
        {one.site: one.value for one in verdict.sites} if verdict else {}
        for verdict in (first, second)
    )
    return tuple(
        SiteChange(site=site, first=before.get(site), second=after.get(site))
        for site in sorted(before.keys() | after.keys())
    )
