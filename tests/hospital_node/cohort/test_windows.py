"""A file's own window shows what pydicom's shows, with equal bits everywhere."""

import hashlib
import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from hospital_node.cohort.reasons import Unfit
from hospital_node.cohort.windows import OwnWindowing, windowed

UNITS = np.linspace(-1024, 3071, 4096)
WINDOWS = {
    "linear": OwnWindowing(40.0, 400.0, "LINEAR"),
    "linear of two units": OwnWindowing(40.0, 2.0, "LINEAR"),
    "linear of one unit": OwnWindowing(40.0, 1.0, "LINEAR"),
    "exact": OwnWindowing(40.5, 400.25, "LINEAR_EXACT"),
    "exact of a hundredth": OwnWindowing(40.0, 0.01, "LINEAR_EXACT"),
    "sigmoid": OwnWindowing(40.0, 400.0, "SIGMOID"),
    "steep sigmoid": OwnWindowing(300.25, 0.5, "SIGMOID"),
}


def by_pydicom(window: OwnWindowing) -> np.ndarray:
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.PixelRepresentation = 12, 0
    dataset.WindowCenter, dataset.WindowWidth = window.centre, window.width
    dataset.VOILUTFunction = window.function
    with np.errstate(over="ignore"):
        return apply_windowing(UNITS, dataset) / 4095


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_window_shows_what_pydicom_shows(window: OwnWindowing) -> None:
    shown = windowed(UNITS, window)
    assert np.abs(shown - by_pydicom(window)).max() < 1e-12
    assert len(set(shown.tolist())) > 1


def test_a_sigmoid_has_these_bits_on_every_machine() -> None:
    shown = windowed(UNITS, WINDOWS["sigmoid"])
    assert hashlib.sha256(shown.astype("<f8").tobytes()).hexdigest() == (
        "65a584eaf8967ece6a2de5871f0e3078a898cf12778462b799595c33793325e4"
    )


def test_a_sigmoid_is_as_good_as_the_last_bits_of_a_double() -> None:
    window = OwnWindowing(0.0, 4.0, "SIGMOID")
    powers = np.linspace(-30, 30, 1001)
    wanted = [1 / (1 + math.exp(-one)) for one in powers]
    assert np.abs(windowed(powers, window) / wanted - 1).max() < 1e-15


@pytest.mark.parametrize(
    "window",
    [
        None,
        OwnWindowing(40.0, 0.99, "LINEAR"),
        OwnWindowing(40.0, 0.0, "LINEAR_EXACT"),
        OwnWindowing(40.0, -1.0, "SIGMOID"),
        OwnWindowing(40.0, 400.0, "CUBIC"),
    ],
)
def test_a_window_that_shows_nothing_is_refused(window: OwnWindowing | None) -> None:
    with pytest.raises(Unfit) as refused:
        windowed(UNITS, window)
    assert refused.value.reason.code == "no-window"
