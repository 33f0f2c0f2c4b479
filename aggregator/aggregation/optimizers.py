"""Server optimizers: one combined delta to the next arrays.

* Vectors in, new vectors out; nothing is changed in place.
* Each result is computed in float64 and rounded to float32 once.
* A step that leaves the finite float32 values is refused, never stored.
"""

from typing import Protocol

import numpy as np

from aggregator.aggregation.spool import Vector
from schemas.errors import ArraysRefused
from schemas.plan import Aggregation

_CHUNK = 2**18


class ServerOptimizer(Protocol):
    """Take one step."""

    def __call__(
        self, iterate: Vector, velocity: Vector | None, delta: Vector, *, aggregation: Aggregation
    ) -> tuple[Vector, Vector | None]:
        """Return the next iterate and velocity."""


def added(
    iterate: Vector, velocity: Vector | None, delta: Vector, *, aggregation: Aggregation
) -> tuple[Vector, Vector | None]:
    """Return iterate + learning_rate * delta; there is no velocity.

    Reddi et al. 2021, arXiv:2003.00295, algorithm 1 with SGD as ServerOpt; with learning rate 1 it
    is FedAvg (McMahan et al. 2017, arXiv:1602.05629, algorithm 1).
    """
    return blended(iterate, delta, 1.0, aggregation.learning_rate), velocity


def accelerated(
    iterate: Vector, velocity: Vector | None, delta: Vector, *, aggregation: Aggregation
) -> tuple[Vector, Vector | None]:
    """Return iterate + learning_rate * v, where v = momentum * velocity + delta.

    Hsu et al. 2019, arXiv:1909.06335, section 4.3 (FedAvgM): v <- beta v + dw, w <- w - v, where dw
    is minus our delta. The first v is the delta.
    """
    grown = delta if velocity is None else blended(velocity, delta, aggregation.momentum, 1.0)
    return blended(iterate, grown, 1.0, aggregation.learning_rate), grown


def blended(first: Vector, second: Vector, keep: float, take: float) -> Vector:
    """Return keep * first + take * second, rounded once.

    Raises:
        ArraysRefused: a value is no longer finite in float32.
    """
    if first.shape != second.shape:
        message = f"vectors of shapes {first.shape} and {second.shape} do not blend"
        raise ValueError(message)
    result = np.empty(first.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, first.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            result[part] = first[part].astype(np.float64) * keep + (
                second[part].astype(np.float64) * take
            )
            if not np.isfinite(result[part]).all():
                message = (
                    "step refused: it gives values that are not finite, only finite are allowed"
                )
                raise ArraysRefused(
                    message, next_step="lower the plan's learning rate, or set max_update_norm"
                )
    return result
