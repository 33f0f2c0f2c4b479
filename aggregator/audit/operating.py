"""What an accepted model does at the plan's threshold, site by site, with its intervals.

* Two intervals stand beside each figure: of the noise alone, and of noise and sampling together.
* An interval ends where its figure can go no further.
* A verdict of another outcome has none: its model is not in use.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeAlias

from aggregator.audit.records import FigureRow, ShownFigure
from aggregator.gates.figures import interval
from schemas.gate import METRIC_NAMES, Estimate, Figures, SiteMetric, Verdict

NamedEstimate: TypeAlias = tuple[str, str, Estimate | None]
"""Figure, site and estimate; None: undefined."""

_NAMES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "calibration_error": "Calibration error",
    "calibration_in_the_large": "In the large",
}


def figure_rows(verdict: Verdict, *, confidence: float) -> tuple[FigureRow, ...]:
    """Return a row for each site and one for all of them; none unless the model was accepted."""
    if verdict.outcome != "accepted":
        return ()
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    rows = [_row(one.site, _metric([one]), one.figures, reach) for one in verdict.sites]
    known = [one for one in verdict.sites if one.value is not None]
    return (*rows, _row(None, _metric(known), verdict.pooled, reach))


def named_estimates(verdict: Verdict) -> tuple[NamedEstimate, ...]:
    """Return every figure of a verdict by name and site, those of the summed counts last."""
    found: list[NamedEstimate] = [
        (
            METRIC_NAMES[verdict.metric],
            one.site,
            _metric([one]) if one.value is not None else None,
        )
        for one in verdict.sites
    ]
    if verdict.metric == "dice":
        return tuple(found)
    for field, name in _NAMES.items():
        found += [(name, one.site, getattr(one.figures, field)) for one in verdict.sites]
        found.append((name, "sum of all", getattr(verdict.pooled, field)))
    return tuple(found)


def _row(site: str | None, metric: Estimate | None, figures: Figures, reach: float) -> FigureRow:
    return FigureRow(
        site=site,
        value=_shown(metric, reach),
        sensitivity=_shown(figures.sensitivity, reach),
        specificity=_shown(figures.specificity, reach),
        calibration_error=_shown(figures.calibration_error, reach),
        calibration_in_the_large=_shown(figures.calibration_in_the_large, reach, least=-1.0),
    )


def _metric(sites: Sequence[SiteMetric]) -> Estimate | None:
    """Return the mean of the sites' metric, with the deviations of independent figures."""
    found = [
        (one.value, one.deviation, one.sampling_deviation)
        for one in sites
        if one.value is not None
        and one.deviation is not None
        and one.sampling_deviation is not None
    ]
    if not found or len(found) < len(sites):
        return None
    values, noises, samplings = zip(*found, strict=True)
    return Estimate(
        value=math.fsum(values) / len(found),
        noise=math.hypot(*noises) / len(found),
        sampling=math.hypot(*samplings) / len(found),
    )


def _shown(found: Estimate | None, reach: float, *, least: float = 0.0) -> ShownFigure | None:
    if found is None:
        return None
    noise, both = (
        tuple(min(1.0, max(least, end)) for end in interval(found, reach, sampling=sampling))
        for sampling in (False, True)
    )
    return ShownFigure(
        value=found.value,
        noise=(noise[0], noise[1]) if found.noise else None,
        whole=(both[0], both[1]),
    )
