"""The data contract: what a cohort must be, versioned and named by its digest.

* Constants are fixed here; nothing is learned at a site. An image or a patient may be normalised by
  itself.
* A round needs the same contract digest at every site.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.base import Record
from schemas.manifest import Part
from schemas.names import Name, Text, Version
from schemas.privacy import NoiseMultiplier

Severity: TypeAlias = Literal["block", "quarantine", "warn"]


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


class PartByHash(Record):
    """Validation patients are those whose keyed hash falls below the fraction.

    They are the same in every cohort and plan.
    """

    kind: Literal["hash"] = "hash"
    validation_fraction: float = Field(gt=0, lt=1)


class PartByColumn(Record):
    """The labels table says the part; for benchmarks with a published split."""

    kind: Literal["column"] = "column"
    column: Name
    train: Name = "train"
    validation: Name = "val"


Parts: TypeAlias = Annotated[PartByHash | PartByColumn, Field(discriminator="kind")]


class CohortRules(Record):
    """Who belongs to the cohort."""

    inclusion: Text
    exclusion: Text = ""
    min_patients: int = Field(ge=2)
    max_images_per_patient: int = Field(ge=1, le=1000)
    """Images beyond it (in order of image digest) are not used, with a coded reason."""
    parts: Parts


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


Frames: TypeAlias = Annotated[SingleFrame | EachFrame | Volume, Field(discriminator="kind")]


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
    required_attributes: tuple[Name, ...] = ()
    """Keywords (PS3.6) that must be present and not empty."""


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
    """The window that the file itself names first, to [0, 1] (PS3.3 section C.11.2.1.2)."""

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
    def shape(self) -> tuple[int, ...]:
        """What training sees of one image: [height, width], with depth or 3 colours before."""
        size = (self.height, self.width)
        if self.channels == "rgb":
            return (3, *size)
        return size if self.depth is None else (self.depth, *size)


class LabelClass(Record):
    """One class: its value in the table and what it means."""

    value: Name
    meaning: Text
    code_system: Text = ""
    code: Text = ""


class LabelRules(Record):
    """The column of the labels table and its classes, in the order of the model's outputs."""

    column: Name
    classes: tuple[LabelClass, LabelClass]
    """Negative, then positive."""
    source: Text = ""


class DeidentificationRules(Record):
    """What may be kept of a file's header, and what is done with suspicious pixels."""

    profile: Literal["allow-list-1"] = "allow-list-1"
    burned_in: Severity = "quarantine"
    ocr: Literal["none", "tesseract"] = "none"
    """Whether a program searches the pixels for text as well."""


class Declared(Record):
    """A person at the site states it in public; the node counts nothing."""

    kind: Literal["declared"] = "declared"


class Noised(Record):
    """The node counts, adds noise, and charges it to the ledger."""

    kind: Literal["noised"] = "noised"
    noise_multiplier: NoiseMultiplier


Price: TypeAlias = Annotated[Declared | Noised, Field(discriminator="kind")]


class Disclosure(Record):
    """One count that a site may tell in its conformance report, and at what price."""

    statistic: Literal["patients"]
    part: Part
    price: Price


class DataContract(Record):
    """What a cohort must be. The digest of this record names it in plans, messages and reports."""

    schema_version: Literal[1] = 1
    id: Name
    version: Version
    status: Literal["draft", "active", "deprecated"]
    title: Text
    purpose: Text
    owner: Text = ""
    legal_references: tuple[Text, ...] = ()
    cohort: CohortRules
    image: ImageRules
    preprocessing: Preprocessing
    labels: LabelRules
    deidentification: DeidentificationRules = DeidentificationRules()
    disclosures: tuple[Disclosure, ...] = Field(default=(), max_length=2)
    """What a site may tell of its cohort; nothing else is told."""

    @model_validator(mode="after")
    def _disclosed_once(self) -> Self:
        if len({one.part for one in self.disclosures}) != len(self.disclosures):
            message = "a part is disclosed twice"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _dimensions_fit(self) -> Self:
        is_volume = isinstance(self.image.frames, Volume)
        if is_volume != (self.preprocessing.depth is not None):
            message = "frames of kind volume and preprocessing.depth go together"
            raise ValueError(message)
        return self
