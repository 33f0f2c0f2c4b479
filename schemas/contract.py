"""The data contract: what a cohort must be, versioned and named by its digest.

* Constants are fixed here; nothing is learned at a site. An image or a patient may be normalised by
  itself.
* A round needs the same contract digest at every site.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.base import Record
from schemas.checks import SIGNS, USUAL, Check, Severity
from schemas.image_rules import ImageRules, Volume
from schemas.manifest import Part
from schemas.names import Name, Text, Version
from schemas.privacy import NoiseMultiplier
from schemas.recipe import Preprocessing
from schemas.reference import ReferenceHistogram


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
    min_patients_of_class: int = Field(default=0, ge=0)
    """Least number of patients with an image of each class, over both parts."""
    max_images_per_patient: int = Field(ge=1, le=1000)
    """Images beyond it (in order of image digest) are not used, with a coded reason."""
    parts: Parts


class LabelClass(Record):
    """One class: its value in the table and what it means."""

    value: Name
    meaning: Text
    code_system: Text = ""
    code: Text = ""


class MaskRules(Record):
    """Which pixels of an image show the finding: the target of a segmentation.

    A mask is a PNG that the labels table names, or frames of a DICOM Segmentation that name the
    image; a site may have either.
    """

    column: Name = "mask"
    """Of the labels table: a PNG below the table's folder. Needed only where there are PNGs."""
    values: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        default=(1, 255), min_length=1, max_length=256
    )
    """Values of a PNG that mark the finding; 0 marks none, and any other is refused."""
    segment: int = Field(default=1, ge=1, le=65535)
    """Number of the segment in a DICOM Segmentation (PS3.3 section C.8.20.2)."""
    needed: Literal["positive", "all"] = "positive"
    """Images that need a mask; the others show no finding where they have none."""
    empty: Literal["allowed", "refused"] = "refused"
    """Whether an image of the positive class may have a mask that marks nothing."""


class LabelRules(Record):
    """The column of the labels table and its classes, in the order of the model's outputs."""

    column: Name
    classes: tuple[LabelClass, LabelClass]
    """Negative, then positive."""
    source: Text = ""
    mask: MaskRules | None = None
    """None: images are classified, not segmented."""


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
    reference: ReferenceHistogram | None = None
    """What drift is measured against; None: it is not."""
    checks: tuple[Check, ...] = ()
    """How grave checks are; those not named have their usual weight."""
    disclosures: tuple[Disclosure, ...] = Field(default=(), max_length=2)
    """What a site may tell of its cohort; nothing else is told."""

    @model_validator(mode="after")
    def _disclosed_once(self) -> Self:
        if len({one.part for one in self.disclosures}) != len(self.disclosures):
            message = "a part is disclosed twice"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _weighed_once(self) -> Self:
        if len({one.code for one in self.checks}) != len(self.checks):
            message = "a check is weighed twice"
            raise ValueError(message)
        if self.reference is None and self.check("drift") is not None:
            message = "drift is weighed, and no reference says against what"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _dimensions_fit(self) -> Self:
        is_volume = isinstance(self.image.frames, Volume)
        if is_volume != (self.preprocessing.depth is not None):
            message = "frames of kind volume and preprocessing.depth go together"
            raise ValueError(message)
        return self

    def check(self, code: str) -> Check | None:
        """Return how this contract weighs a check; None where it does not say."""
        return next((one for one in self.checks if one.code == code), None)

    def severity(self, code: str) -> Severity:
        """Say how grave it is that a check notices more than what is tolerated."""
        own = self.check(code)
        if own is not None:
            return own.severity
        return self.deidentification.burned_in if code in SIGNS else USUAL.get(code, "warn")

    def must_be_seen(self, risks: Sequence[str]) -> bool:
        """Say whether a person must look at an image with these signs of text in its pixels."""
        return any(self.severity(one) != "warn" for one in risks)
