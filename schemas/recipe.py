"""The recipe from a decoded image to what training sees.

* Constants are fixed here; nothing is learned at a site. An image or a patient may be normalised by
  itself.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.base import Record


class StoredBits(Record):
    """Stored value / 2^BitsStored: the full range of the detector becomes [0, 1)."""

    kind: Literal["stored-bits"] = "stored-bits"


class Window(Record):
    """Modality units (after RescaleSlope and RescaleIntercept), [low, high] to [0, 1], clipped."""

    kind: Literal["window"] = "window"
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            message = "low is not below high"
            raise ValueError(message)
        return self


class OwnWindow(Record):
    """The file's own first VOI look-up table, or else its first window, to [0, 1].

    PS3.3 section C.11.2.
    """

    kind: Literal["own-window"] = "own-window"


Intensity: TypeAlias = Annotated[StoredBits | Window | OwnWindow, Field(discriminator="kind")]


class FixedNormalisation(Record):
    """(x - mean) / deviation with constants of the contract."""

    kind: Literal["fixed"] = "fixed"
    mean: float
    deviation: float = Field(gt=0)


class ImageNormalisation(Record):
    """Each image by its own mean and deviation."""

    kind: Literal["image"] = "image"
    floor: float = Field(gt=0)
    """Least deviation to divide by."""


class PatientNormalisation(Record):
    """Each patient by the mean and deviation of the patient's own pixels above `foreground`.

    The result is clipped to [low, high].
    """

    kind: Literal["patient"] = "patient"
    foreground: float
    floor: float = Field(gt=0)
    low: float
    high: float


Normalisation: TypeAlias = Annotated[
    FixedNormalisation | ImageNormalisation | PatientNormalisation, Field(discriminator="kind")
]


class Preprocessing(Record):
    """The recipe from a decoded image to what training sees, in this order.

    MONOCHROME1 is inverted after `intensity`. Resizing averages over the area that each new pixel
    covers, or the volume in three dimensions.
    """

    intensity: Intensity
    channels: Literal["grey", "rgb"] = "grey"
    """Colour becomes grey by (299 R + 587 G + 114 B) / 1000; grey does not become colour."""
    depth: int | None = Field(default=None, ge=2, le=512)
    """Slices that training sees of a volume; None in two dimensions."""
    height: int = Field(ge=8, le=1024)
    width: int = Field(ge=8, le=1024)
    spacing_mm: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        default=None, min_length=2, max_length=3
    )
    """From (slice,) row and column to the next, around the centre, with 0 where the image ends.

    None: the whole image is stretched to the size.
    """
    normalisation: Normalisation
    version: Literal[1] = 1
    """Of the implementation; a change of meaning raises it."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.depth is not None and self.channels != "grey":
            message = "a volume is grey"
            raise ValueError(message)
        dimensions = 2 if self.depth is None else 3
        if self.spacing_mm is not None and len(self.spacing_mm) != dimensions:
            message = f"{dimensions} spacings are needed"
            raise ValueError(message)
        return self

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """What training sees of one mask: [height, width], with depth before."""
        size = (self.height, self.width)
        return size if self.depth is None else (self.depth, *size)

    @property
    def shape(self) -> tuple[int, ...]:
        """What training sees of one image: [height, width], with depth or 3 colours before."""
        return (3, *self.mask_shape) if self.channels == "rgb" else self.mask_shape
