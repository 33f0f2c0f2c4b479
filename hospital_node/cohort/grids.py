"""The recipe's geometry for masks: each new pixel takes the value of the one under its middle.

* A mask is turned, cut and resized as its image is, so that both still lie on each other; no value
  is made up between two others.
* Places are whole numbers, or single IEEE 754 operations: equal bits everywhere.
* What is thinner than a new pixel may fall between two middles, and is lost.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.transforms import steps_of
from schemas.recipe import Preprocessing

__all__ = ["NOT_TURNED", "Grid", "Turn", "deepened", "restored", "sampled"]

Turn: TypeAlias = tuple[bool, bool, bool]
"""Rows and columns change places; then rows, then columns are reversed."""
NOT_TURNED: Turn = (False, False, False)


@dataclass(frozen=True, slots=True)
class Grid:
    """How a frame's pixels lie in its file, and how the recipe shows them."""

    size: tuple[int, int]
    """Rows and columns as stored."""
    spacing_mm: tuple[float, float] | None = None
    """Between rows and between columns as shown; None where no recipe asks."""
    turn: Turn = NOT_TURNED


def sampled(mask: NDArray[np.bool_], grid: Grid, recipe: Preprocessing) -> NDArray[np.uint8]:
    """Return a stored mask as the recipe shows its frame, [height, width] of 0 and 1."""
    is_swapped, is_down, is_across = grid.turn
    shown = mask.T if is_swapped else mask
    shown = shown[:: -1 if is_down else 1, :: -1 if is_across else 1]
    down, across = steps_of(recipe, grid.spacing_mm)
    along = _taken(shown, recipe.height, step=down)
    return np.ascontiguousarray(_taken(along.T, recipe.width, step=across).T, dtype=np.uint8)


def deepened(
    planes: NDArray[np.uint8], recipe: Preprocessing, *, spacing_mm: float
) -> NDArray[np.uint8]:
    """Return a volume's mask at the recipe's depth, from slices in order, `spacing_mm` apart."""
    step = recipe.spacing_mm[0] / spacing_mm if recipe.spacing_mm else None
    deep: NDArray[np.uint8] = _taken(planes, recipe.depth or 1, step=step)
    return deep


def restored(shown: NDArray[np.bool_], grid: Grid, recipe: Preprocessing) -> NDArray[np.bool_]:
    """Return a mask of what the recipe shows at the frame's stored size; outside is nothing."""
    down, across = (one and 1.0 / one for one in steps_of(recipe, grid.spacing_mm))
    along = _taken(shown, grid.size[0], step=down)
    stored: NDArray[np.bool_] = _taken(along.T, grid.size[1], step=across).T
    return stored


def _taken(values: NDArray[Any], size: int, *, step: float | None) -> NDArray[Any]:
    """Take `size` values of the first axis, `step` apart around the centre; None: evenly spread."""
    length = values.shape[0]
    if step is None:
        evenly: NDArray[Any] = values[(2 * np.arange(size) + 1) * length // (2 * size)]
        return evenly
    places = np.floor(length / 2 + (np.arange(size) + 0.5 - size / 2) * step).astype(np.intp)
    is_outside = (places < 0) | (places >= length)
    taken: NDArray[Any] = values[np.clip(places, 0, length - 1)]
    taken[is_outside] = 0
    return taken
