"""The evaluation of a segmentation: patients by how well their findings are outlined."""

from pydantic import Field

from schemas.base import Record


class DiceHistogram(Record):
    """Validation patients by their Dice coefficient, the mean over the patient's images.

    A patient weighs 1, in one bin, so adding or removing one moves the counts by 1 in L2.
    `counts[bin]` in units of 2^-20 patients, noise included; may be negative. Bins are equal parts
    of [0, 1].
    """

    counts: tuple[int, ...] = Field(min_length=2)
