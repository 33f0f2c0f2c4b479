"""The window that a file names for itself: from modality units to what it would show.

* Every step is a single IEEE 754 operation on arrays, the exponential included: equal bits
  everywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.reasons import Unfit

__all__ = ["OwnWindowing", "windowed"]


@dataclass(frozen=True, slots=True)
class OwnWindowing:
    """A window in modality units (PS3.3 section C.11.2.1)."""

    centre: float
    width: float
    function: str


def windowed(units: NDArray[np.float64], window: OwnWindowing | None) -> NDArray[np.float64]:
    """Return units in 0..1, as the window shows them."""
    if window is None or window.function not in _FUNCTIONS:
        raise Unfit("no-window")
    if window.width < 1.0 if window.function == "LINEAR" else window.width <= 0.0:
        raise Unfit("no-window")
    return _FUNCTIONS[window.function](units, window.centre, window.width)


def _linear(units: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    """Section C.11.2.1.2.1: whole units, whose first and last are black and white."""
    if width == 1.0:
        return (units > centre - 0.5).astype(np.float64)
    return _exact(units, centre - 0.5, width - 1.0)


def _exact(units: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    """Section C.11.2.1.3.2."""
    return np.clip((units - centre) / width + 0.5, 0.0, 1.0)


def _sigmoid(units: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    """Section C.11.2.1.3.1."""
    shown: NDArray[np.float64] = 1.0 / (1.0 + _exponential(-4.0 * (units - centre) / width))
    return shown


_FUNCTIONS: Mapping[str, Callable[[NDArray[np.float64], float, float], NDArray[np.float64]]] = (
    MappingProxyType({"LINEAR": _linear, "LINEAR_EXACT": _exact, "SIGMOID": _sigmoid})
)


def _exponential(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return e to a power, to a few units in the last place.

    Libraries differ in the last bit of theirs. Here a power is k ln 2 + r, and its exponential 2^k
    times the series of e^r, whose fourteenth term is below a bit.
    """
    bounded = np.clip(powers, -_MOST, _MOST)
    twos = np.rint(bounded / _LN2)
    rest = (bounded - twos * _LN2_HIGH) - twos * _LN2_LOW
    series = np.ones_like(rest)
    for term in range(_TERMS, 0, -1):
        series = series * rest / term + 1.0
    return np.ldexp(series, twos.astype(np.int32))


_MOST = 700.0
_TERMS = 14
_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
"""So few bits that its products with whole numbers of powers are exact."""
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
