"""Lower bounds on epsilon from guesses who took part; nothing here knows how training works.

* `one_run`: Steinke, Nasr and Jagielski 2023 (arXiv:2305.08846). It assumes nothing of the
  mechanism, but cannot show more than about ln(error / (2 delta)).
* `most_noise`: Nasr et al. 2023 (arXiv:2302.07956), with the plan's own accountant for what is
  possible. It takes canaries as independent, which they are where each moves a coordinate of its
  own under independent noise; it is far sharper.
* Every bound holds at the confidence that it is asked for, and fails no more often than that.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas import accounting
from schemas.privacy import SampledGaussian

Floats: TypeAlias = NDArray[np.float64]

SHARES = (0.05, 0.2, 0.5)
"""Of the canaries, guessed in and as many guessed out; fixed before anything is trained."""
MOST_FACTOR = 4.0
"""Of the plan's noise; a bound that is lower still is told as 0."""
_CEILING = 64.0
_STEPS = 40
_EPSILONS = np.concatenate([np.linspace(0.0, 10.0, 101), np.linspace(10.5, 60.0, 100)])


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a fixed threshold says `in`: of canaries in, and of canaries out."""

    true: tuple[int, int]
    """Said so, out of how many."""
    false: tuple[int, int]


def one_run(scores: Floats, members: NDArray[np.bool_], *, delta: float, error: float) -> float:
    """Return a lower bound on epsilon at `delta` that is wrong with probability `error` at most."""
    order = np.argsort(scores, kind="stable")
    bounds = []
    for share in SHARES:
        each = max(1, int(len(scores) * share))
        right = int(members[order[-each:]].sum() + (~members[order[:each]]).sum())
        guesses = _Guesses(canaries=len(scores), made=2 * each, right=right)
        bounds.append(guesses.least_epsilon(delta=delta, error=error / len(SHARES)))
    return max(bounds)


@dataclass(frozen=True, slots=True)
class _Guesses:
    canaries: int
    made: int
    right: int

    def least_epsilon(self, *, delta: float, error: float) -> float:
        """Return the largest epsilon under which so many right guesses are too unlikely."""
        if self.likelihood(0.0, delta) >= error:
            return 0.0
        return _edge(lambda one: self.likelihood(one, delta) < error, 0.0, _CEILING)

    def likelihood(self, epsilon: float, delta: float) -> float:
        """Bound the chance of so many right guesses under (epsilon, delta).

        P[Bin(r, e^eps / (1 + e^eps)) >= v] + 2 m delta max_i P[v > Bin >= v - i] / i.
        """
        tails = _tails(self.made, 1.0 / (1.0 + math.exp(-epsilon)))
        beta = float(tails[self.right])
        below = tails[: self.right][::-1] - beta
        worst = float(np.max(below / np.arange(1, self.right + 1), initial=0.0))
        return min(1.0, beta + 2.0 * self.canaries * delta * worst)


def rates(scores: Floats, members: NDArray[np.bool_], *, threshold: float) -> Rates:
    """Count what a threshold that was fixed beforehand says."""
    said = scores > threshold
    inside = int(members.sum())
    return Rates(
        true=(int((said & members).sum()), inside),
        false=(int((said & ~members).sum()), len(members) - inside),
    )


def most_noise(found: Rates, events: Sequence[SampledGaussian], *, error: float) -> float:
    """Return the most noise, as a multiple of the events' own, under which the rates are possible.

    The bound is wrong with probability `error` at most. It is 1 or less exactly when the rates are
    not possible under the events, and never over `MOST_FACTOR`.
    """
    hits = 1.0 - _upper(found.true[1] - found.true[0], found.true[1], error / 2)
    alarms = _upper(*found.false, error / 2)

    def is_possible(exponent: float) -> bool:
        scaled = [_with_noise(one, 2.0**exponent) for one in events]
        deltas = np.asarray(accounting.deltas_pld(scaled, epsilons=_EPSILONS.tolist()))
        return hits <= allowed_hits(alarms, deltas)

    highest = math.log2(MOST_FACTOR)
    if is_possible(highest):
        return MOST_FACTOR
    lowest = -4.0 if not is_possible(0.0) else 0.0
    found_at = _edge(is_possible, lowest, 0.0 if lowest else highest, steps=9, upper=True)
    return float(2.0**found_at)


def allowed_hits(alarms: float, deltas: Floats) -> float:
    """Return the most true positives that a profile (epsilon, delta) allows at so many false ones.

    P[E] <= e^eps Q[E] + delta for an event and for its complement, either way (Kairouz et al. 2015,
    arXiv:1311.0776).
    """
    straight = np.exp(_EPSILONS) * alarms + deltas
    turned = 1.0 - np.exp(-_EPSILONS) * (1.0 - alarms - deltas)
    return float(min(straight.min(), turned.min(), 1.0))


def epsilon_at(events: Sequence[SampledGaussian], factor: float, *, delta: float) -> float:
    """Return epsilon with the noise so many times as large; 0 at `MOST_FACTOR`."""
    if factor >= MOST_FACTOR:
        return 0.0
    return accounting.epsilon_pld([_with_noise(one, factor) for one in events], delta=delta)


def _with_noise(event: SampledGaussian, factor: float) -> SampledGaussian:
    return event.model_copy(update={"noise_multiplier": event.noise_multiplier * factor})


def _upper(successes: int, trials: int, error: float) -> float:
    """Return the one-sided upper bound on a chance (Clopper and Pearson 1934)."""
    if successes >= trials:
        return 1.0
    return _edge(
        lambda chance: 1.0 - float(_tails(trials, chance)[successes + 1]) > error,
        0.0,
        1.0,
        upper=True,
    )


def _tails(trials: int, chance: float) -> Floats:
    """Return P[Bin(trials, chance) >= k] for k from 0 to trials + 1."""
    numbers = np.arange(trials + 1)
    if chance <= 0.0 or chance >= 1.0:
        masses = (numbers == round(trials * chance)).astype(np.float64)
    else:
        factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
        logs = factorials[-1] - factorials - factorials[::-1]
        logs = logs + numbers * math.log(chance) + numbers[::-1] * math.log1p(-chance)
        masses = np.exp(logs)
    summed = np.cumsum(masses[::-1])[::-1]
    return np.concatenate([np.minimum(summed, 1.0), [0.0]])


def _edge(
    holds: Callable[[float], bool],
    low: float,
    high: float,
    *,
    steps: int = _STEPS,
    upper: bool = False,
) -> float:
    """Return where a claim that holds at `low` stops, from below, or from above."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high if upper else low
