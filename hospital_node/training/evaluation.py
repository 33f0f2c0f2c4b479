"""Evaluation: scores of the validation images, released as one histogram.

* A patient weighs 1 in all, each image an equal share, rounded down to the grid of 2^-20: adding or
  removing a patient moves the counts by at most 1 in L2.
* Noise is an exact discrete Gaussian on the same grid, added to exact whole numbers: there is no
  float whose low bits could tell anything.
* Negative counts stay; clipping them would bias every figure made from them.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from hospital_node.models.registry import Network, load_arrays
from hospital_node.privacy.discrete_gaussian import discrete_gaussian
from hospital_node.training.examples import Examples
from schemas.update import RESOLUTION_BITS, Histogram
from schemas.wire.arrays import Arrays

_CHUNK_IMAGES = 64


def scores(network: Network, examples: Examples, arrays: Arrays) -> NDArray[np.float64]:
    """Return a score in [0, 1] for every image; 0 where a logit is not a number.

    Of a segmentation [n, 1, height, width], a score for every pixel.

    Raises:
        ArraysRefused: the arrays do not fit the network.
    """
    load_arrays(network.module, arrays)
    network.module.eval()
    with torch.no_grad():
        logits = [network.module(part) for part in torch.split(examples.inputs, _CHUNK_IMAGES)]
    found: NDArray[np.float64] = torch.cat(logits).double().sigmoid().nan_to_num(0.0).numpy()
    return found


def histogram(
    scores: NDArray[np.float64], examples: Examples, *, bins: int, noise_multiplier: float | None
) -> Histogram:
    """Count patients by class and score; noise of `noise_multiplier` patients, none for None."""
    unit = 2**RESOLUTION_BITS
    patients = examples.patients.numpy()
    share = unit // np.maximum(np.bincount(patients), 1)
    places = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.zeros((2, bins), dtype=np.int64)
    np.add.at(counts, (examples.labels.numpy().astype(np.int64), places), share[patients])
    if noise_multiplier is not None:
        counts += discrete_gaussian(counts.shape, noise_multiplier * unit)
    negative, positive = counts.tolist()
    return Histogram(counts=(tuple(negative), tuple(positive)))
