"""Evaluation of a segmentation: each patient's Dice coefficient, released as one histogram.

* A patient weighs 1, in one bin: adding or removing a patient moves the counts by 1 in L2.
* Noise is an exact discrete Gaussian on the grid of 2^-20, as in `evaluation`.
* Negative counts stay.
* A patient's images weigh the same, whatever their size.
"""

import numpy as np
from numpy.typing import NDArray

from hospital_node.privacy.discrete_gaussian import discrete_gaussian
from hospital_node.training.examples import Examples
from schemas.dice import DiceHistogram
from schemas.update import RESOLUTION_BITS


def of_patients(
    scores: NDArray[np.float64], examples: Examples, *, threshold: float
) -> NDArray[np.float64]:
    """Return each patient's Dice coefficient, a pixel being marked from a score on."""
    found = image_dice(scores >= threshold, examples.labels.numpy() > 0)
    return patient_dice(found, examples.patients.numpy())


def image_dice(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the Dice coefficient of each image of [n, ...]; 1 where both masks are empty.

    2 |A and B| / (|A| + |B|) (Dice 1945, doi:10.2307/1932409). An image without a finding, found
    to have none, is right: without this a patient might weigh nothing.
    """
    both, first, second = (
        one.reshape(len(one), -1).sum(axis=1) for one in (predicted & truth, predicted, truth)
    )
    sizes = first + second
    return np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1.0)


def patient_dice(images: NDArray[np.float64], patients: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return each patient's mean over the patient's images; patients are 0 to P-1."""
    counts = np.bincount(patients)
    return np.bincount(patients, weights=images) / counts


def dice_histogram(
    patients: NDArray[np.float64], *, bins: int, noise_multiplier: float | None
) -> DiceHistogram:
    """Count patients by Dice; noise of `noise_multiplier` patients, none for None."""
    unit = 2**RESOLUTION_BITS
    places = np.clip((patients * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(places, minlength=bins).astype(np.int64) * unit
    if noise_multiplier is not None:
        counts += discrete_gaussian(counts.shape, noise_multiplier * unit)
    return DiceHistogram(counts=tuple(counts.tolist()))
