"""What a file must be to be used: the contract's rules on images."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Record
from schemas.names import Name


class Range(Record):
    """A closed range of whole numbers."""

    least: int = Field(ge=1)
    most: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            message = "least is above most"
            raise ValueError(message)
        return self


class Distances(Record):
    """A closed range of distances in millimetres."""

    least: float = Field(gt=0, le=1000)
    most: float = Field(gt=0, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            message = "least is above most"
            raise ValueError(message)
        return self

    def holds(self, distance: float) -> bool:
        """Say whether a distance lies in the range, as exports round it."""
        return self.least - _ROUNDED_MM <= distance <= self.most + _ROUNDED_MM


_ROUNDED_MM = 1e-6

Photometric: TypeAlias = Literal[
    "MONOCHROME1",
    "MONOCHROME2",
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
]
"""Photometric interpretations that are read (PS3.3 section C.7.6.3.1.2)."""


class SingleFrame(Record):
    """A file is one image; one with more frames is refused."""

    kind: Literal["single"] = "single"


class EachFrame(Record):
    """Every frame of a file is an image of its own, with the file's label."""

    kind: Literal["each"] = "each"


class Volume(Record):
    """The slices of a series, or the frames of a file, make one volume; the label is the series'.

    Slices are put in order by their position and turned to the plane's usual view: axial from feet
    to head, seen from below; coronal from front to back; sagittal from right to left.
    """

    kind: Literal["volume"] = "volume"
    plane: Literal["axial", "coronal", "sagittal"]
    slices: Range
    """How many a volume may have; gaps and doubled positions are refused."""
    spacing_mm: Distances | None = None
    """From slice to slice; None: any."""


Frames: TypeAlias = Annotated[SingleFrame | EachFrame | Volume, Field(discriminator="kind")]

CodeString: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Z0-9_]([A-Z0-9_ ]{0,14}[A-Z0-9_])?$")
]
"""A value of representation CS (PS3.5 section 6.2)."""


class ImageRules(Record):
    """What a file must be to be used."""

    modalities: tuple[Name, ...] = Field(min_length=1)
    sop_classes: tuple[Name, ...] = Field(min_length=1)
    """SOP class UIDs (PS3.4 annex B)."""
    rows: Range
    columns: Range
    bits_stored: Range
    photometric: tuple[Photometric, ...] = Field(min_length=1)
    frames: Frames = SingleFrame()
    spacing_mm: Distances | None = None
    """Between rows and between columns; None: any."""
    views: tuple[CodeString, ...] = ()
    """Allowed values of ViewPosition, such as PA; empty: any, or none."""
    lateralities: tuple[Literal["L", "R", "B", "U"], ...] = ()
    """Allowed values of ImageLaterality, or of Laterality where that is absent; empty: any."""
    body_parts: tuple[CodeString, ...] = ()
    """Allowed values of BodyPartExamined; empty: any, or none."""
    required_attributes: tuple[Name, ...] = ()
    """Keywords (PS3.6) that must be present and not empty."""
    forbidden_attributes: tuple[Name, ...] = ()
    """Keywords (PS3.6) that must be absent or empty."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not set(self.required_attributes).isdisjoint(self.forbidden_attributes):
            message = "an attribute is both required and forbidden"
            raise ValueError(message)
        return self
