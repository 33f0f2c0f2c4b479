"""Epsilon of composed releases, by dp-accounting; the only place that prices an event.

* Neighbours differ by adding or removing one patient.
* Renyi accounting is the enforced figure (a valid privacy filter: Feldman and Zrnic 2021,
  arXiv:2008.11193, for adaptively chosen plans); the privacy loss distribution stands beside it and
  is never larger. Above 100 it says nothing more, is dear, and the Renyi figure takes its place.
* Equal events are merged before composition, so the cost does not grow with the number of rounds.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from schemas.privacy import SampledGaussian, Spend

_COARSE = 100.0


def epsilon_rdp(events: Iterable[SampledGaussian], *, delta: float) -> float:
    """Return epsilon by Renyi accounting.

    Mironov 2017, arXiv:1702.07476; Mironov et al. 2019, arXiv:1908.10530.
    """
    from dp_accounting import rdp  # noqa: PLC0415 - half a second that most commands need not wait

    merged = _merged(events)
    if not merged:
        return 0.0
    accountant = rdp.RdpAccountant()
    for rate, noise, steps in merged:
        accountant.compose(_priced(rate, noise), steps)
    return float(accountant.get_epsilon(delta))


def epsilon_pld(events: Iterable[SampledGaussian], *, delta: float) -> float:
    """Return epsilon by privacy loss distributions, pessimistically rounded.

    Koskela et al. 2020, arXiv:1906.03049.
    """
    from dp_accounting import pld  # noqa: PLC0415 - as above

    merged = _merged(events)
    if not merged:
        return 0.0
    accountant = pld.PLDAccountant(value_discretization_interval=1e-3)
    for rate, noise, steps in merged:
        accountant.compose(_priced(rate, noise), steps)
    return float(accountant.get_epsilon(delta))


def spend(events: Iterable[SampledGaussian], *, delta: float) -> Spend:
    """Price a part's releases both ways."""
    listed = tuple(events)
    rdp = epsilon_rdp(listed, delta=delta)
    pld = rdp if rdp > _COARSE else min(rdp, epsilon_pld(listed, delta=delta))
    return Spend(delta=delta, rdp=rdp, pld=pld)


def _merged(events: Iterable[SampledGaussian]) -> list[tuple[float, float, int]]:
    """Merge into (rate, noise multiplier, steps); full-batch Gaussians of any noise become one.

    The composition of Gaussians is the Gaussian whose inverse variance is the sum (Dong et al.
    2022, arXiv:1905.02383, corollary 3.3), exactly and also under adaptive choice.
    """
    counted: Counter[tuple[float, float]] = Counter()
    for event in events:
        counted[event.sampling_rate, event.noise_multiplier] += event.steps
    rows = [(rate, noise, steps) for (rate, noise), steps in sorted(counted.items())]
    whole = math.fsum(steps / noise**2 for rate, noise, steps in rows if rate == 1.0)
    sampled = [row for row in rows if row[0] != 1.0]
    return [*sampled, (1.0, whole**-0.5, 1)] if whole else sampled


def _priced(sampling_rate: float, noise_multiplier: float) -> Any:  # noqa: ANN401 - untyped library
    from dp_accounting import dp_event  # noqa: PLC0415 - as above

    gaussian = dp_event.GaussianDpEvent(noise_multiplier)
    if sampling_rate == 1.0:
        return gaussian
    return dp_event.PoissonSampledDpEvent(sampling_rate, gaussian)
