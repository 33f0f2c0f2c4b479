"""How the pixel values of such images are usually distributed: what drift is measured against.

* Written by the study lead from images that may be shown, such as public ones; never computed from
  a site's cohort by the node.
* The distance is the first Wasserstein distance between the two histograms, with the range as its
  unit: 0 for equal ones, towards 1 when all values moved from one end to the other.
"""

from itertools import accumulate
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Record

__all__ = ["ReferenceHistogram"]

_TOLERANCE = 1e-6


class ReferenceHistogram(Record):
    """Shares of pixels, after the recipe, in equal bins from `low` to `high`.

    What lies outside counts in the first or the last bin. Each patient weighs the same.
    """

    low: float
    high: float
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(min_length=2, max_length=256)
    distance: Literal["wasserstein-1"] = "wasserstein-1"
    most_distance: float = Field(gt=0, lt=1)
    """Beyond it the check `drift` notices the cohort."""

    @model_validator(mode="after")
    def _distribution(self) -> Self:
        if self.low >= self.high:
            message = "low is not below high"
            raise ValueError(message)
        if abs(sum(self.shares) - 1) > _TOLERANCE:
            message = "the shares do not add up to 1"
            raise ValueError(message)
        return self

    @classmethod
    def even(cls, low: float, high: float, *, bins: int) -> Self:
        """Return the histogram of values that are all equally frequent."""
        return cls(low=low, high=high, shares=(1 / bins,) * bins, most_distance=0.1)

    def distance_to(self, shares: tuple[float, ...]) -> float:
        """Return the distance to another histogram over the same bins.

        In one dimension it is the area between the two cumulative distributions.
        """
        apart = (one - other for one, other in zip(shares, self.shares, strict=True))
        return sum(map(abs, accumulate(apart))) / len(self.shares)
