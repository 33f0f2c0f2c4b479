"""A mask takes the value under the middle of each new pixel, and goes back the same way."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hospital_node.cohort.grids import Grid, restored, sampled
from schemas.recipe import FixedNormalisation, Preprocessing, StoredBits

SIDES = st.integers(min_value=8, max_value=40)
SPACINGS = st.none() | st.tuples(
    st.sampled_from([0.3, 0.5, 1.0, 1.7]), st.sampled_from([0.4, 1.0, 2.5])
)


def recipe(height: int, width: int, spacing_mm: tuple[float, float] | None) -> Preprocessing:
    return Preprocessing(
        intensity=StoredBits(),
        height=height,
        width=width,
        spacing_mm=spacing_mm,
        normalisation=FixedNormalisation(mean=0.0, deviation=1.0),
    )


def under(index: int, size: int, length: int, step: float | None) -> int | None:
    """Return the old pixel under the middle of a new one, one by one."""
    place = (index + 0.5) * length / size
    if step is not None:
        place = length / 2 + (index + 0.5 - size / 2) * step
    return math.floor(place) if 0 <= place < length else None


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), SPACINGS, st.integers(0, 2**32 - 1))
def test_each_new_pixel_is_the_one_under_its_middle(
    old: tuple[int, int], new: tuple[int, int], spacing_mm: tuple[float, float] | None, seed: int
) -> None:
    mask = np.random.default_rng(seed).random(old) < 0.4
    made = recipe(*new, spacing_mm)
    grid = Grid(old, (1.0, 0.8) if spacing_mm else None)
    steps = (spacing_mm[0] / 1.0, spacing_mm[1] / 0.8) if spacing_mm else (None, None)
    back = np.random.default_rng(seed + 1).random(new) < 0.4
    for target, source, found, is_back in (
        (new, mask, sampled(mask, grid, made).astype(bool), False),
        (old, back, restored(back, grid, made), True),
    ):
        for row in range(target[0]):
            for column in range(target[1]):
                down, across = (
                    under(index, size, length, (1 / step if is_back else step) if step else None)
                    for index, size, length, step in zip(
                        (row, column), target, source.shape, steps, strict=True
                    )
                )
                is_inside = down is not None and across is not None
                assert found[row, column] == (is_inside and source[down, across])
