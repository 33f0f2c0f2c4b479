"""Epsilon of composed releases, by dp-accounting; the only place that prices an event.

* Neighbours differ by adding or removing one patient.
* Renyi accounting is the enforced figure (a valid privacy filter: Feldman and Zrnic 2021,
  arXiv:2008.11193, for adaptively chosen plans); the privacy loss distribution stands beside it and
  is never larger. Above 1000 it says nothing more, is dear, and the Renyi figure takes its place.
* Equal events are merged before composition, so the cost does not grow with the number of rounds;
  what one step costs is computed once in a process.
* Losses are rounded up to the library's own grid of 1e-4, so the figure is the one that the library
  gives when it is called directly on the raw events, to 1e-6 of it. Releases over all patients are
  one Gaussian here, exactly; raw ones are rounded one by one, which adds some 1e-8 each.
* An order of the Renyi divergence that the library cannot compute is left out, which can only raise
  epsilon: the minimum is then taken over fewer orders. One that rounding made negative is 0: no
  release ever lowers what another spent.
* The filter's theorem is for one order, fixed beforehand; epsilon here is the least over the
  library's orders, as in the usual conversion (docs/privacy.md says what that leaves open).
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache, reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.privacy import SampledGaussian, Spend

_COARSE, _BEYOND = 50.0, 1000.0
"""Renyi epsilons from which on losses stand on a coarser grid, and are not composed at all."""
_LITTLE = 0.3
"""A noise under sampling below which one step's losses would take the fine grid half a minute."""
_GRID = 1e-4
"""Of privacy losses: dp-accounting's default."""
_COARSE_GRID = 1e-3
"""Of whole profiles, and of losses that no cap allows: right to some 1e-4 of the figure."""

Merged: TypeAlias = tuple[tuple[float, float, int], ...]
"""Rate, noise multiplier and steps of each distinct mechanism."""


def epsilon_rdp(events: Iterable[SampledGaussian], *, delta: float) -> float:
    """Return epsilon by Renyi accounting.

    Mironov 2017, arXiv:1702.07476; Mironov et al. 2019, arXiv:1908.10530.
    """
    merged = _merged(events)
    return _renyi(merged, delta) if merged else 0.0


def epsilon_pld(events: Iterable[SampledGaussian], *, delta: float) -> float:
    """Return epsilon by privacy loss distributions, pessimistically rounded.

    Koskela et al. 2020, arXiv:1906.03049.
    """
    merged = _merged(events)
    return _loss(merged, delta) if merged else 0.0


def deltas_pld(
    events: Iterable[SampledGaussian], *, epsilons: Sequence[float]
) -> tuple[float, ...]:
    """Return delta at each epsilon: the mechanism's whole profile.

    By privacy loss distributions, or exactly where every release is over all patients (Balle and
    Wang 2018, arXiv:1805.06530, theorem 8).
    """
    from dp_accounting.pld import privacy_loss_mechanism  # noqa: PLC0415 - as above

    merged, asked = _merged(events), np.asarray(epsilons)
    if _is_gaussian(merged):
        gaussian = privacy_loss_mechanism.GaussianPrivacyLoss(merged[0][1])
        return tuple(map(float, gaussian.get_delta_for_epsilon(asked)))
    return tuple(map(float, _composed(merged, _COARSE_GRID).get_delta_for_epsilon(asked)))


def spend(events: Iterable[SampledGaussian], *, delta: float) -> Spend:
    """Price a part's releases both ways."""
    listed = tuple(events)
    rdp = epsilon_rdp(listed, delta=delta)
    pld = rdp if rdp > _BEYOND else min(rdp, epsilon_pld(listed, delta=delta))
    return Spend(delta=delta, rdp=rdp, pld=pld)


def _merged(events: Iterable[SampledGaussian]) -> Merged:
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
    return (*sampled, (1.0, whole**-0.5, 1)) if whole else tuple(sampled)


@lru_cache(maxsize=1024)
def _renyi(merged: Merged, delta: float) -> float:
    from dp_accounting import rdp  # noqa: PLC0415 - half a second that most commands need not wait

    orders = rdp.RdpAccountant().orders
    total = np.zeros_like(orders)
    for rate, noise, steps in merged:
        total += steps * _curve(rate, noise)
    return float(rdp.compute_epsilon(orders, total, delta)[0])


@cache
def _curve(sampling_rate: float, noise_multiplier: float) -> NDArray[np.float64]:
    """Return one step's Renyi divergence at each of the library's orders; infinite: left out."""
    from dp_accounting import rdp  # noqa: PLC0415 - as above

    logging.getLogger("absl").addFilter(_is_news)
    event = _priced(sampling_rate, noise_multiplier)
    curve: NDArray[np.float64] = np.maximum(rdp.RdpAccountant().compose(event).rdp, 0.0)
    return curve


def _is_news(record: logging.LogRecord) -> bool:
    """Drop the library's word, dozens of times in a command, that it leaves an order out.

    That only raises epsilon, and says nothing that whoever reads a terminal could act on. Its other
    warnings stay. A filter that is added again counts once.
    """
    return "Excluding this order" not in str(record.msg)


@lru_cache(maxsize=256)
def _loss(merged: Merged, delta: float) -> float:
    from dp_accounting import get_epsilon_gaussian  # noqa: PLC0415 - as above

    if _is_gaussian(merged):
        return float(get_epsilon_gaussian(merged[0][1], delta))
    noises = [noise for rate, noise, _ in merged if rate != 1.0]
    fine = _renyi(merged, delta) <= _COARSE and min(noises) >= _LITTLE
    grid = _GRID if fine else _COARSE_GRID
    return float(_composed(merged, grid).get_epsilon_for_delta(delta))


def _is_gaussian(merged: Merged) -> bool:
    """Say whether every release is over all patients, so that epsilon has a closed form."""
    return len(merged) == 1 and merged[0][0] == 1.0


def _composed(merged: Merged, grid: float) -> Any:  # noqa: ANN401 - untyped library
    parts = [_distribution(rate, noise, grid).self_compose(n) for rate, noise, n in merged]
    return reduce(lambda whole, part: whole.compose(part), parts)


@lru_cache(maxsize=128)
def _distribution(sampling_rate: float, noise_multiplier: float, grid: float) -> Any:  # noqa: ANN401 - as above
    """Return the privacy loss distribution of one step."""
    from dp_accounting.pld import privacy_loss_distribution  # noqa: PLC0415 - as above

    return privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier, sampling_prob=sampling_rate, value_discretization_interval=grid
    )


def _priced(sampling_rate: float, noise_multiplier: float) -> Any:  # noqa: ANN401 - untyped library
    from dp_accounting import dp_event  # noqa: PLC0415 - as above

    gaussian = dp_event.GaussianDpEvent(noise_multiplier)
    if sampling_rate == 1.0:
        return gaussian
    return dp_event.PoissonSampledDpEvent(sampling_rate, gaussian)
