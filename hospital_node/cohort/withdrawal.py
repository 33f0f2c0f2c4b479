"""Patients who withdrew: they leave every cohort of this home, and never come back into one.

* The register is written first, so that a crash in between leaves a patient out, never in.
* Pixels, masks, readings and quarantined pictures of the patient are removed; the rest of each
  cohort stays as it was, since no image is normalised by another patient's.
* A cohort that no longer conforms without the patient is removed whole.
* The ledger and the register of parts keep their rows: what was released stays charged. A model
  that learnt from the patient does not forget.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hospital_node.cohort import quarantine
from hospital_node.cohort.contract_checks import Evidence, examined
from hospital_node.cohort.findings import conforms
from hospital_node.cohort.packs import seal, written
from hospital_node.cohort.readings import opened_readings, readings_folder
from hospital_node.cohort.reasons import REASONS
from hospital_node.cohort.store import (
    MASKS,
    PIXELS,
    Cohort,
    Records,
    open_cohort,
    place,
    remove,
    stored_contracts,
    workshop,
)
from hospital_node.cohort.survey import Survey
from schemas.base import Record
from schemas.errors import CohortChanged, InvalidRecord
from schemas.files import write_durably
from schemas.manifest import DatasetManifest, FileCount, Pseudonym
from schemas.names import Digest

__all__ = ["Withdrawal", "withdraw", "withdrawn"]


class _Register(Record):
    """Every patient who withdrew here, under the site's key."""

    patients: tuple[Pseudonym, ...] = ()


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What became of the cohorts that held the patients."""

    patients: int
    """How many of those named stood in a cohort."""
    images: int
    changed: tuple[Digest, ...]
    """Contracts whose cohort goes on without them."""
    removed: tuple[Digest, ...]
    """Contracts whose cohort no longer conforms."""


def withdrawn(store: Path) -> frozenset[Pseudonym]:
    """Return every patient who withdrew.

    Raises:
        CohortChanged: the register cannot be read.
    """
    path = _path(store)
    if not path.exists():
        return frozenset()
    try:
        return frozenset(_Register.from_canonical(path.read_bytes()).patients)
    except InvalidRecord:
        message = "cohort refused: found a register of withdrawn patients that is damaged"
        raise CohortChanged(message, next_step="restore it from a backup") from None


def withdraw(store: Path, patients: Iterable[Pseudonym]) -> Withdrawal:
    """Take patients out of every cohort, and keep them out.

    Raises:
        CohortChanged: a register or a cohort is damaged.
    """
    named = frozenset(patients)
    register = _Register(patients=tuple(sorted(withdrawn(store) | named)))
    write_durably(_path(store), register.canonical(), mode=0o600)
    gone: set[Pseudonym] = set()
    images = 0
    changed: list[Digest] = []
    removed: list[Digest] = []
    for contract in stored_contracts(store):
        cohort = open_cohort(store, contract.digest)
        leaving = [row for row in cohort.manifest.rows if row.patient in named]
        if leaving:
            gone.update(row.patient for row in leaving)
            images += len(leaving)
            is_kept = _rewritten(store, cohort, named)
            (changed if is_kept else removed).append(contract.digest)
    for memory in sorted(readings_folder(store).glob("*.sqlite")):
        with opened_readings(memory) as readings:
            readings.drop(
                [name for name, one in readings.files() if not one.patient or one.patient in named]
            )
    quarantine.forget_patients(store, named)
    return Withdrawal(len(gone), images, tuple(changed), tuple(removed))


def _rewritten(store: Path, cohort: Cohort, named: AbstractSet[Pseudonym]) -> bool:
    """Write a cohort again without patients; say whether it still conforms, and so stands."""
    keep = [index for index, row in enumerate(cohort.manifest.rows) if row.patient not in named]
    with workshop(store) as folder:
        rows = [cohort.manifest.rows[index] for index in keep]
        survey = Survey.of([row.patient for row in rows], cohort.contract.reference)
        for new, old in enumerate(keep):
            survey.take(new, cohort.pixels[old])
        pack = _kept(folder / PIXELS, cohort.pixels, keep)
        masks = None if cohort.masks is None else _kept(folder / MASKS, cohort.masks, keep)
        manifest = _without(cohort.manifest, keep, pack=pack, masks=masks)
        noted = {(one.code, ""): one.files for one in manifest.not_used}
        findings = examined(manifest, cohort.contract, Evidence(noted=noted, survey=survey))
        if not keep or not conforms(findings):
            remove(store, cohort.contract.digest)
            return False
        place(folder, store, Records(cohort.contract, manifest, findings))
    return True


def _kept(path: Path, rows: NDArray[Any], keep: list[int]) -> Digest:
    with written(path, (len(keep), *rows.shape[1:]), rows.dtype.str) as write:
        for new, old in enumerate(keep):
            write(new, rows[old])
    return seal(path)


def _without(
    manifest: DatasetManifest, keep: list[int], *, pack: Digest, masks: Digest | None
) -> DatasetManifest:
    rows = tuple(manifest.rows[index] for index in keep)
    files = manifest.used - sum(row.files for row in rows)
    counts = {one.code: one.files for one in manifest.not_used}
    counts["withdrawn"] = counts.get("withdrawn", 0) + files
    return manifest.model_copy(
        update={
            "pack": pack,
            "masks": masks,
            "rows": rows,
            "not_used": tuple(
                FileCount(outcome=REASONS[code].outcome, code=code, files=count)
                for code, count in sorted(counts.items())
                if count
            ),
        }
    )


def _path(store: Path) -> Path:
    return store.with_name(store.name + ".withdrawn.json")
