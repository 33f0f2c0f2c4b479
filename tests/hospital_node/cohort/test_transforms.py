"""The recipe, compared with slow and obvious twins."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hospital_node.cohort.transforms import Stored, normalised, resized, scaled
from schemas.recipe import FixedNormalisation, ImageNormalisation, PatientNormalisation, Window
from tests.hospital_node.cohort.exports import pixels, recipe


def stored(values: NDArray[np.integer], **changes: object) -> Stored:
    meaning = {"bits": 12, "is_signed": False, "is_inverted": False} | changes
    return Stored(values=values.astype(np.int32), **meaning)  # type: ignore[arg-type] # of a test


def overlap(new: int, old: int, *, sizes: tuple[int, int]) -> Fraction:
    """Return how much of an old pixel a new one covers, in units of the new one."""
    step = Fraction(sizes[1], sizes[0])
    covered = min((new + 1) * step, Fraction(old + 1)) - max(new * step, Fraction(old))
    return max(covered, Fraction(0)) / step


@given(
    rows=st.integers(2, 20),
    columns=st.integers(2, 20),
    height=st.integers(8, 12),
    width=st.integers(8, 12),
)
def test_a_new_pixel_is_the_mean_over_the_area_that_it_covers(
    rows: int, columns: int, height: int, width: int
) -> None:
    values = pixels(rows * 100 + columns, shape=(rows, columns))
    down = [
        [float(overlap(i, j, sizes=(height, rows))) for j in range(rows)] for i in range(height)
    ]
    across = [
        [float(overlap(i, j, sizes=(width, columns))) for j in range(columns)] for i in range(width)
    ]
    expected = np.array(down) @ (values / 2.0**12) @ np.array(across).T

    result = resized(stored(values), recipe(size=(height, width)))

    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-7)


def test_halving_is_the_exact_mean_of_four() -> None:
    values = pixels(1, bits=16).astype(np.int32)
    plane = values.astype(np.float32) / np.float32(2**16)
    expected = plane.reshape(8, 2, 8, 2).mean(axis=(1, 3), dtype=np.float64).astype(np.float32)

    result = resized(stored(values, bits=16), recipe())

    assert (result == expected).all()


INTENSITIES = {
    "the full range becomes [0, 1)": ({}, None, [0.0, 0.5, 4095 / 4096]),
    "MONOCHROME1 is inverted": ({"is_inverted": True}, None, [1.0, 0.5, 1 / 4096]),
    "a window is in modality units and clipped": (
        {"slope": 2.0, "intercept": -1024.0},
        Window(low=0.0, high=6144.0),
        [0.0, 0.5, 1.0],
    ),
    "MONOCHROME1 is inverted after the window": (
        {"slope": 2.0, "intercept": -1024.0, "is_inverted": True},
        Window(low=0.0, high=6144.0),
        [1.0, 0.5, 0.0],
    ),
}


@pytest.mark.parametrize(
    ("meaning", "intensity", "expected"), INTENSITIES.values(), ids=INTENSITIES
)
def test_stored_values_become_intensities(
    meaning: dict[str, object], intensity: Window | None, expected: list[float]
) -> None:
    values = np.array([[0, 2048, 4095]])
    assert scaled(stored(values, **meaning), recipe(intensity=intensity)).tolist() == [expected]


def test_signed_values_span_the_same_range() -> None:
    values = np.array([[-2048, 0, 2047]])
    result = scaled(stored(values, is_signed=True), recipe())
    assert result.tolist() == [[0.0, 0.5, 4095 / 4096]]


def planes(seed: int, count: int) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return [random.random((8, 8), dtype=np.float32) * 0.5 for _ in range(count)]


def test_an_image_is_normalised_by_itself() -> None:
    images = planes(3, 2)
    for image, result in zip(
        images, normalised(images, ImageNormalisation(floor=0.02)), strict=True
    ):
        wide = image.astype(np.float64)
        np.testing.assert_allclose(result, (wide - wide.mean()) / wide.std(), atol=1e-6)


def test_a_patient_is_normalised_by_the_own_foreground_and_clipped() -> None:
    images = planes(4, 3)
    how = PatientNormalisation(foreground=0.1, floor=0.02, low=-1.0, high=1.5)
    wide = np.stack(images).astype(np.float64)
    bright = wide[wide > np.float32(0.1)]
    expected = np.clip((wide - bright.mean()) / bright.std(), -1.0, 1.5)

    np.testing.assert_allclose(np.stack(normalised(images, how)), expected, atol=1e-6)


def test_fixed_constants_are_the_contracts() -> None:
    images = planes(5, 1)
    (result,) = normalised(images, FixedNormalisation(mean=0.5, deviation=0.25))
    np.testing.assert_allclose(result, (images[0] - 0.5) / 0.25, atol=1e-6)


def test_a_flat_image_is_divided_by_the_floor() -> None:
    flat = [np.full((8, 8), 0.25, dtype=np.float32)]
    (result,) = normalised(flat, ImageNormalisation(floor=0.02))
    assert (result == 0).all()


def test_a_patient_without_foreground_is_still_finite() -> None:
    dark = [np.zeros((8, 8), dtype=np.float32)]
    (result,) = normalised(
        dark, PatientNormalisation(foreground=0.1, floor=0.02, low=-1.0, high=1.0)
    )
    assert (result == 0).all()


@given(st.permutations(range(4)))
def test_no_bit_depends_on_the_order_of_a_patients_images(order: list[int]) -> None:
    images = planes(6, 4)
    how = PatientNormalisation(foreground=0.1, floor=0.02, low=-3.0, high=6.0)
    expected = normalised(images, how)
    for index, result in zip(order, normalised([images[i] for i in order], how), strict=True):
        assert (result == expected[index]).all()
