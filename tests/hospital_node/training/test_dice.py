"""Dice coefficients: a slow twin, the patient's weight, and the noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hospital_node.training.dice import dice_histogram, image_dice, patient_dice

UNIT = 2**20
MASKS = arrays(np.bool_, (4, 3, 3))


@given(predicted=MASKS, truth=MASKS)
def test_dice_is_that_of_the_sets_of_pixels(predicted: np.ndarray, truth: np.ndarray) -> None:
    for found, one, other in zip(image_dice(predicted, truth), predicted, truth, strict=True):
        here, there = set(np.flatnonzero(one)), set(np.flatnonzero(other))
        sizes = len(here) + len(there)
        assert found == pytest.approx(2 * len(here & there) / sizes if sizes else 1.0)


def test_a_patient_has_the_mean_of_its_images() -> None:
    found = patient_dice(np.array([1.0, 0.0, 0.5, 0.9]), np.array([0, 0, 1, 0]))
    assert found == pytest.approx([1.9 / 3, 0.5])


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30), bins=st.integers(2, 20))
def test_every_patient_weighs_one_in_one_bin(values: list[float], bins: int) -> None:
    whole = dice_histogram(np.array(values), bins=bins, noise_multiplier=None).counts
    rest = dice_histogram(np.array(values[1:]), bins=bins, noise_multiplier=None).counts
    moved = np.array(whole) - np.array(rest)
    assert sum(whole) == len(values) * UNIT
    assert sorted(moved) == [0] * (bins - 1) + [UNIT]


def test_noise_has_its_deviation_on_the_grid_and_negative_counts_stay() -> None:
    found = np.array(dice_histogram(np.array([0.5]), bins=600, noise_multiplier=2.0).counts) / UNIT
    assert found.std() == pytest.approx(2.0, rel=0.2)
    assert found.min() < 0
