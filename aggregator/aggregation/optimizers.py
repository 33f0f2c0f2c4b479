"""Server optimizers: one combined delta to the next arrays.

* A state in, a new state out; nothing is changed in place.
* Each result is computed in float64, chunk by chunk, and rounded to float32 once.
* A step that leaves the finite float32 values is refused, never stored.
* Moments start at zero, as in Flower; Reddi et al. start the second one at adaptivity^2 or more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregator.aggregation.spool import Vector
from schemas.aggregation import Aggregation, ServerStep
from schemas.errors import ArraysRefused

_CHUNK = 2**18

_Doubles: TypeAlias = NDArray[np.float64]
_Spread: TypeAlias = Callable[[_Doubles, _Doubles], _Doubles]
"""A second moment and a squared delta to the next second moment."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """Where training stands at the aggregator."""

    iterate: Vector
    """What the sites train from next."""
    velocity: Vector | None = None
    """First moment of a server optimizer that has one, after its first step."""
    variance: Vector | None = None
    """Second moment, likewise."""
    control: Vector | None = None
    """Weighted mean of the sites' variates, in scaffold."""
    steps: int = 0
    """Steps that led here."""
    average: Vector | None = None
    """Mean of the iterates since the plan's `average_from`."""
    averaged: int = 0
    """How many iterates are in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one round tells the server optimizer beside the delta."""

    aggregation: Aggregation
    share: float = 1.0
    """Weight of the sites that are in the delta, of all sites' weight; for scaffold."""
    distance: float = 1.0
    """Local steps times local learning rate; for scaffold."""


class ServerOptimizer(Protocol):
    """Take one step."""

    def __call__(self, state: ServerState, delta: Vector, step: Step) -> ServerState:
        """Return the next state; averages are not its business."""


def plain(state: ServerState, delta: Vector, step: Step) -> ServerState:
    """Return iterate + learning_rate * delta.

    Reddi et al. 2021, arXiv:2003.00295, algorithm 1 with SGD as ServerOpt; with learning rate 1 it
    is FedAvg (McMahan et al. 2017, arXiv:1602.05629, algorithm 1).
    """
    iterate = blended(state.iterate, delta, 1.0, step.aggregation.learning_rate)
    return replace(state, iterate=iterate, steps=state.steps + 1)


def momentum(state: ServerState, delta: Vector, step: Step) -> ServerState:
    """Return iterate + learning_rate * v, where v = momentum * velocity + delta.

    Hsu et al. 2019, arXiv:1909.06335, section 4.3 (FedAvgM): v <- beta v + dw, w <- w - v, where dw
    is minus our delta. The first v is the delta.
    """
    rule = step.aggregation
    before = state.velocity
    velocity = delta if before is None else blended(before, delta, rule.momentum, 1.0)
    iterate = blended(state.iterate, velocity, 1.0, rule.learning_rate)
    return replace(state, iterate=iterate, velocity=velocity, steps=state.steps + 1)


def adagrad(state: ServerState, delta: Vector, step: Step) -> ServerState:
    """Adapt by the sum of squares: v <- v + delta^2 (Reddi et al. 2021, algorithm 2)."""
    return _adapted(state, delta, step, spread=np.add)


def adam(state: ServerState, delta: Vector, step: Step) -> ServerState:
    """Adapt by a moving mean: v <- beta_2 v + (1 - beta_2) delta^2 (Reddi et al., algorithm 2).

    The rate is corrected as Kingma and Ba 2015 (arXiv:1412.6980, section 2) do, with the exponent
    that Flower uses: step t counts as t + 1.
    """
    rule, power = step.aggregation, state.steps + 2
    second = rule.second_momentum or 0.0
    corrected = np.sqrt(1 - second**power) / (1 - rule.momentum**power)

    def spread(before: _Doubles, squared: _Doubles) -> _Doubles:
        return second * before + (1 - second) * squared

    return _adapted(state, delta, step, spread=spread, correction=float(corrected))


def yogi(state: ServerState, delta: Vector, step: Step) -> ServerState:
    """Adapt additively: v <- v - (1 - beta_2) delta^2 sign(v - delta^2) (Reddi et al., alg. 2)."""
    kept = 1 - (step.aggregation.second_momentum or 0.0)

    def spread(before: _Doubles, squared: _Doubles) -> _Doubles:
        return before - kept * squared * np.sign(before - squared)

    return _adapted(state, delta, step, spread=spread)


def variates(state: ServerState, delta: Vector, step: Step) -> ServerState:
    """Step plainly, and keep the mean of the sites' control variates.

    Karimireddy et al. 2020, arXiv:1910.06378, algorithm 1 with option II and equation 5: a site's
    variate moves by -c - delta_i / (K eta), so the mean by the share of the sites that are in the
    delta times -c - delta / (K eta).
    """
    before = np.zeros_like(delta) if state.control is None else state.control
    control = blended(before, delta, 1 - step.share, -step.share / step.distance)
    return replace(plain(state, delta, step), control=control)


OPTIMIZERS: Mapping[ServerStep, ServerOptimizer] = MappingProxyType(
    {
        "plain": plain,
        "momentum": momentum,
        "adagrad": adagrad,
        "adam": adam,
        "yogi": yogi,
        "variates": variates,
    }
)


def _adapted(
    state: ServerState, delta: Vector, step: Step, *, spread: _Spread, correction: float = 1.0
) -> ServerState:
    """Return x + learning_rate * m / (sqrt(v) + tau), with m <- beta_1 m + (1 - beta_1) delta.

    Reddi et al. 2021, algorithm 2, lines 10 to 15.
    """
    rule = step.aggregation
    _refuse_shapes(state.iterate, delta)
    tau, rate = rule.adaptivity or 0.0, rule.learning_rate * correction
    iterate, velocity, variance = (np.empty_like(delta) for _ in range(3))
    with np.errstate(over="ignore", invalid="ignore"):
        for part in _parts(delta.size):
            moved = delta[part].astype(np.float64)
            first = _doubled(state.velocity, part, moved)
            first = rule.momentum * first + (1 - rule.momentum) * moved
            second = spread(_doubled(state.variance, part, moved), np.square(moved))
            iterate[part] = state.iterate[part] + rate * first / (np.sqrt(second) + tau)
            velocity[part], variance[part] = first, second
    for one in (iterate, velocity, variance):
        _refuse_infinite(one)
    return replace(
        state, iterate=iterate, velocity=velocity, variance=variance, steps=state.steps + 1
    )


def blended(first: Vector, second: Vector, keep: float, take: float) -> Vector:
    """Return keep * first + take * second, rounded once.

    Raises:
        ArraysRefused: a value is no longer finite in float32.
    """
    _refuse_shapes(first, second)
    result = np.empty(first.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in _parts(first.size):
            result[part] = np.add(
                _scaled(first[part], keep), _scaled(second[part], take), dtype=np.float64
            )
    _refuse_infinite(result)
    return result


def _scaled(vector: Vector, factor: float) -> Vector | _Doubles:
    """Multiply in float64; a factor of 1 changes no bit, and costs nothing."""
    return vector if factor == 1 else np.multiply(vector, factor, dtype=np.float64)


def _parts(size: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, size, _CHUNK)]


def _doubled(vector: Vector | None, part: slice, like: _Doubles) -> _Doubles:
    return np.zeros_like(like) if vector is None else vector[part].astype(np.float64)


def _refuse_shapes(first: Vector, second: Vector) -> None:
    if first.shape != second.shape:
        message = f"vectors of shapes {first.shape} and {second.shape} do not blend"
        raise ValueError(message)


def _refuse_infinite(vector: Vector) -> None:
    for part in _parts(vector.size):
        if not np.isfinite(vector[part]).all():
            message = "step refused: it gives values that are not finite, only finite are allowed"
            next_step = "lower the plan's learning rate, or set update_gate.max_norm"
            raise ArraysRefused(message, next_step=next_step)
