"""What the pixels of a cohort show together, gathered while its images are written.

* An image is looked at once, as training will see it, and not kept.
* The histogram counts each patient as 1, however many images there are; it is made only where the
  contract has a reference, over the reference's bins.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.near_duplicates import sign_of
from hospital_node.cohort.store import Cohort
from schemas.manifest import Pseudonym
from schemas.reference import ReferenceHistogram

__all__ = ["Survey", "reference_of", "shares_of"]


@dataclass(slots=True)
class Survey:
    """What was seen so far."""

    weights: NDArray[np.float64]
    """Of each image: 1 / the patient's images."""
    reference: ReferenceHistogram | None
    signs: NDArray[np.uint64]
    """What each image looks like in the large; 0: it tells nothing."""
    flat: int = 0
    """Images of one value."""
    _total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, patients: Sequence[Pseudonym], reference: ReferenceHistogram | None) -> Self:
        """Return the survey of these patients' images before the first was looked at."""
        images = Counter(patients)
        weights = np.array([1 / images[patient] for patient in patients])
        bins = len(reference.shares) if reference else 0
        return cls(weights, reference, np.zeros(len(patients), np.uint64), _total=np.zeros(bins))

    def take(self, index: int, image: NDArray[np.float32]) -> None:
        """Look at the image of a row."""
        self.signs[index] = sign_of(image)
        self.flat += bool(image.min() == image.max())
        if self.reference is not None:
            self._total += self.weights[index] * shares_of(image, self.reference)

    @property
    def shares(self) -> tuple[float, ...]:
        """Return the share of pixels in each bin of the reference."""
        whole = self._total.sum()
        return tuple(float(one) for one in self._total / whole) if whole else ()


def reference_of(cohort: Cohort, bins: ReferenceHistogram) -> ReferenceHistogram:
    """Return a stored cohort's histogram over the bins of another."""
    survey = Survey.of([row.patient for row in cohort.manifest.rows], bins)
    for index in range(len(cohort.pixels)):
        survey.take(index, cohort.pixels[index])
    return bins.model_copy(update={"shares": _rounded(survey.shares)})


def _rounded(shares: Sequence[float]) -> tuple[float, ...]:
    """Return shares to six places that still add up to 1; the largest takes the difference."""
    millionths = [round(1e6 * one) for one in shares]
    millionths[millionths.index(max(millionths))] += 10**6 - sum(millionths)
    return tuple(one / 1e6 for one in millionths)


def shares_of(image: NDArray[np.float32], reference: ReferenceHistogram) -> NDArray[np.float64]:
    """Return the share of an image's pixels in each bin; what lies outside is at an end."""
    bins = len(reference.shares)
    width = (reference.high - reference.low) / bins
    places = np.floor((image.astype(np.float64).ravel() - reference.low) / width)
    counts = np.bincount(np.clip(places, 0, bins - 1).astype(np.intp), minlength=bins)
    shares: NDArray[np.float64] = counts / image.size
    return shares
