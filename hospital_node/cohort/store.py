"""The stored cohort: written whole or not at all, and verified whenever it is opened.

* HOME/cohort/<first 16 hex of the contract's digest>/ holds `contract.json`, `manifest.json`,
  `findings.json`, `source.json`, `pixels.npy` and, where the contract has masks, `masks.npy`. No
  file name, date, original identifier or attribute of a patient is in it.
* A cohort appears under its name after all of it is on disk. Replacing one moves the old one
  aside first, so a crash between the two leaves no cohort, never a mixed one.
* Opening compares the contract with its digest, the manifest with the one that was examined, and
  pixels and masks with the manifest.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.findings import Examination, Finding
from hospital_node.cohort.packs import digest_while_unchanged
from schemas.base import Record
from schemas.contract import DataContract
from schemas.errors import CohortChanged, CohortRefused, InvalidRecord, OtherVersion
from schemas.files import sync_folder, write_durably
from schemas.manifest import DatasetManifest, Part
from schemas.names import Digest, digest_of

__all__ = [
    "MASKS",
    "PIXELS",
    "Cohort",
    "Origin",
    "Records",
    "cohort_folder",
    "looked_again",
    "made_from",
    "manifest_digest",
    "open_cohort",
    "place",
    "remove",
    "stored_contracts",
    "workshop",
]

CONTRACT, MANIFEST, FINDINGS, PIXELS, MASKS, SOURCE = (
    "contract.json",
    "manifest.json",
    "findings.json",
    "pixels.npy",
    "masks.npy",
    "source.json",
)
_HALF_DONE = ".ingesting-"


class Origin(Record):
    """What a cohort was made from, beside its labels and rules, in two ways."""

    source: Digest
    """Over the keyed names of its files, which are those of their bytes."""
    look: Digest | None = None
    """Over what the folder looked like from outside; None: it had not settled."""


@dataclass(frozen=True, slots=True)
class Records:
    """What stands beside a cohort's pixels."""

    contract: DataContract
    manifest: DatasetManifest
    findings: tuple[Finding, ...]
    origin: Origin | None = None
    """Of all that it was made from; None: it was changed since."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort that has been verified against its manifest."""

    contract: DataContract
    manifest: DatasetManifest
    digest: Digest
    """Of the manifest."""
    findings: tuple[Finding, ...]
    pixels: NDArray[np.float32]
    """[images, *shape of the recipe], read-only, normalised; row i is `manifest.rows[i]`."""
    masks: NDArray[np.uint8] | None = None
    """[images, *mask shape of the recipe] of 0 and 1, read-only; None: the contract has none."""

    def rows(self, part: Part) -> NDArray[np.intp]:
        """Return the rows of a part, in the manifest's order."""
        listed = [index for index, row in enumerate(self.manifest.rows) if row.part == part]
        return np.array(listed, dtype=np.intp)

    def labels(self, part: Part) -> NDArray[np.int64]:
        """Return the class of each row of a part."""
        listed = [row.label for row in self.manifest.rows if row.part == part]
        return np.array(listed, dtype=np.int64)

    def targets(self, part: Part) -> NDArray[np.uint8]:
        """Return the mask of each row of a part, of 0 and 1.

        Raises:
            CohortChanged: the contract has no masks.
        """
        if self.masks is None:
            raise _changed("no masks")
        return np.asarray(self.masks[self.rows(part)])

    def patients(self, part: Part) -> NDArray[np.int64]:
        """Return the patient of each row of a part, numbered from 0 in the order of pseudonyms."""
        listed = [row.patient for row in self.manifest.rows if row.part == part]
        number = {patient: index for index, patient in enumerate(sorted(set(listed)))}
        return np.array([number[patient] for patient in listed], dtype=np.int64)


def cohort_folder(store: Path, contract: Digest) -> Path:
    """Return where the cohort of a contract stands."""
    return store / contract.removeprefix("sha256:")[:16]


def manifest_digest(store: Path, contract: Digest) -> Digest | None:
    """Name the manifest of the cohort of a contract, without verifying it; None: there is none."""
    path = cohort_folder(store, contract) / MANIFEST
    return digest_of(path.read_bytes()) if path.exists() else None


def open_cohort(store: Path, contract: Digest) -> Cohort:
    """Open and verify the cohort of a contract.

    Raises:
        CohortRefused: none was ingested under this contract.
        CohortChanged: it is not, byte for byte, what was ingested.
    """
    folder = cohort_folder(store, contract)
    if not folder.is_dir():
        message = f"cohort refused: found none for contract {contract[:23]}, one is needed"
        raise CohortRefused(
            message, next_step="hospital-node cohort ingest --home DIR --contract FILE --source DIR"
        )
    try:
        terms = (folder / CONTRACT).read_bytes()
        agreed = _contract(terms)
        content = (folder / MANIFEST).read_bytes()
        manifest = _manifest(content)
        examination = _examination((folder / FINDINGS).read_bytes())
    except (OSError, ValueError, InvalidRecord) as error:
        if isinstance(error, InvalidRecord) and error.is_other_version:
            raise OtherVersion("cohort") from None
        raise _changed("a file that is missing or damaged") from None
    digest = digest_of(content)
    if examination.manifest != digest:
        raise _changed("another manifest")
    if digest_of(terms) != contract or manifest.contract != contract:
        raise _changed("another contract")
    recipe, count = agreed.preprocessing, len(manifest.rows)
    pixels = _mapped(folder / PIXELS, (count, *recipe.shape), np.float32, manifest.pack)
    masks: NDArray[np.uint8] | None = None
    if agreed.labels.mask is not None:
        masks = _mapped(folder / MASKS, (count, *recipe.mask_shape), np.uint8, manifest.masks)
    return Cohort(agreed, manifest, digest, examination.findings, pixels, masks)


def _mapped(
    path: Path, shape: tuple[int, ...], kind: type[np.generic], named: Digest | None
) -> NDArray[Any]:
    """Map a file of arrays that has this shape and this digest."""
    what = path.stem
    try:
        found: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        if found.dtype != kind or found.shape != shape:
            raise _changed(f"{what} of another shape")
        if digest_while_unchanged(path) != named:
            raise _changed(f"other {what} than the manifest names")
    except (OSError, ValueError):
        raise _changed("a file that is missing or damaged") from None
    return found


# A node opens its cohort for every request; reading a manifest of a thousand rows again would cost
# it more than the rest of the round. Equal bytes give equal records: nothing kept goes stale.
_contract = lru_cache(maxsize=8)(DataContract.from_canonical)
_manifest = lru_cache(maxsize=8)(DatasetManifest.from_canonical)
_examination = lru_cache(maxsize=8)(Examination.from_canonical)


def stored_contracts(store: Path) -> tuple[DataContract, ...]:
    """Return the contracts that have a cohort here, by id and version.

    Raises:
        CohortChanged: one of them is missing or damaged.
    """
    if not store.is_dir():
        return ()
    folders = [folder for folder in store.iterdir() if not folder.name.startswith(".")]
    try:
        found = [
            DataContract.from_canonical((folder / CONTRACT).read_bytes()) for folder in folders
        ]
    except (OSError, InvalidRecord):
        raise _changed("a contract that is missing or damaged") from None
    return tuple(sorted(found, key=lambda one: (one.id, one.version)))


@contextmanager
def workshop(store: Path) -> Iterator[Path]:
    """Lend a folder beside the cohorts; what is not placed, and what a crash left, is removed."""
    store.mkdir(parents=True, exist_ok=True)
    for left in store.glob(f"{_HALF_DONE}*"):
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(dir=store, prefix=_HALF_DONE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def place(folder: Path, store: Path, records: Records) -> None:
    """Write the records beside the pixels in `folder`, and move it to its name in the store."""
    manifest = records.manifest
    content = manifest.canonical()
    write_durably(folder / CONTRACT, records.contract.canonical(), mode=0o600)
    write_durably(folder / MANIFEST, content, mode=0o600)
    examination = Examination(manifest=digest_of(content), findings=records.findings)
    write_durably(folder / FINDINGS, examination.canonical(), mode=0o600)
    if records.origin is not None:
        write_durably(folder / SOURCE, records.origin.canonical(), mode=0o600)
    target = cohort_folder(store, records.contract.digest)
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=store, prefix=_HALF_DONE))
        target.rename(old / "old")
        folder.rename(target)
        sync_folder(store)
        shutil.rmtree(old)
    else:
        folder.rename(target)
        sync_folder(store)


def remove(store: Path, contract: Digest) -> None:
    """Remove the cohort of a contract."""
    old = Path(tempfile.mkdtemp(dir=store, prefix=_HALF_DONE))
    cohort_folder(store, contract).rename(old / "old")
    sync_folder(store)
    shutil.rmtree(old)


def made_from(store: Path, contract: Digest) -> Origin | None:
    """Return what a cohort was made from, if that is known."""
    try:
        content = (cohort_folder(store, contract) / SOURCE).read_bytes()
        return Origin.from_canonical(content)
    except (OSError, InvalidRecord):
        return None


def looked_again(store: Path, contract: Digest, origin: Origin) -> None:
    """Note what the unchanged source of a cohort looks like by now."""
    write_durably(cohort_folder(store, contract) / SOURCE, origin.canonical(), mode=0o600)


def _changed(found: str) -> CohortChanged:
    return CohortChanged(
        f"cohort refused: found {found}, only what was ingested is allowed",
        next_step="run again: hospital-node cohort ingest --home DIR --contract FILE --source DIR",
    )
