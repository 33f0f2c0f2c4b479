"""The manifest: which images a cohort holds. It stays at the site.

* Patients appear under keyed pseudonyms only; no file name, date or original identifier is kept.
* Rows are sorted by image digest, so equal sources give equal manifests.
* `read` = used + quarantined + refused: no file is skipped in silence.
"""

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Record
from schemas.names import Digest, Name, SiteName

Pseudonym: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""The first 128 bits of a keyed HMAC-SHA-256; the key never leaves the site."""

Part: TypeAlias = Literal["train", "validation"]
"""Train and validation patients are disjoint, so their privacy costs compose in parallel."""


class ImageRow(Record):
    """One used image: its row in the pack, its patient, part and class."""

    image: Digest
    patient: Pseudonym
    part: Part
    label: int = Field(ge=0, le=255)
    """Index into the contract's classes."""
    files: int = Field(default=1, ge=0)
    """Files that came with it: the slices of a volume, a mask; 0 for a further frame of one."""
    mask: Digest | None = None
    """Of its mask as stored in its files; None: it has none, and shows no finding."""


class FileCount(Record):
    """How many files ended in one way, by coded reason."""

    outcome: Literal["quarantined", "refused"]
    code: Name
    files: int = Field(ge=1)


class DatasetManifest(Record):
    """A cohort: its images by digest, and what became of every file that was read."""

    MAX_BYTES: ClassVar[int] = 2**28
    """Of a million images and more; it is never on the wire."""

    site: SiteName
    contract: Digest
    pack: Digest
    """Digest of the stored pixel file; row i of it is `rows[i]`."""
    masks: Digest | None = None
    """Digest of the stored mask file, with the same rows; None where the contract has no masks."""
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    read: int = Field(ge=0)
    rows: tuple[ImageRow, ...]
    not_used: tuple[FileCount, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.read != self.used + sum(one.files for one in self.not_used):
            message = "files read, used, quarantined and refused do not add up"
            raise ValueError(message)
        images = [row.image for row in self.rows]
        if images != sorted(images):
            message = "rows are not sorted by image digest"
            raise ValueError(message)
        if self.masks is None and any(row.mask is not None for row in self.rows):
            message = "a row names a mask, and no masks are stored"
            raise ValueError(message)
        parts: dict[str, str] = {}
        if any(parts.setdefault(row.patient, row.part) != row.part for row in self.rows):
            message = "a patient stands in both parts"
            raise ValueError(message)
        return self

    @property
    def used(self) -> int:
        """Count the files of which something is used."""
        return sum(row.files for row in self.rows)

    def patients(self, part: Part | None = None) -> int:
        """Count the patients, of one part or of both."""
        return len({row.patient for row in self.rows if part in {None, row.part}})
