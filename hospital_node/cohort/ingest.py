"""From a folder of DICOM, masks and a labels table to a stored cohort.

* Every file ends as used, quarantined or refused, with a code; the manifest refuses counts that
  do not add up.
* Memory holds one row for each image and the pixels of one patient; all others wait on disk.
* Equal sources give equal cohorts, byte for byte, in whatever order files are found.
* A source that has not changed since its cohort was made is only looked at, not read again. The
  look comes before the reading: what is written in between is noticed the next time.
* What is below the contract's blocking checks leaves nothing behind, and an earlier cohort as it
  was.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hospital_node.cohort import quarantine
from hospital_node.cohort.admission import Admission, Known
from hospital_node.cohort.contract_checks import Evidence, examined, found_residue
from hospital_node.cohort.desk import Desk
from hospital_node.cohort.findings import Finding, refuse_unfit
from hospital_node.cohort.header_checks import refuse_unknown_attributes
from hospital_node.cohort.intake import Reader, file_names, outcomes
from hospital_node.cohort.labels import read_labels
from hospital_node.cohort.masks import with_pictures
from hospital_node.cohort.ocr import refuse_missing
from hospital_node.cohort.origins import Ground
from hospital_node.cohort.packing import packed, packed_masks
from hospital_node.cohort.parts import settle_parts
from hospital_node.cohort.readings import Readings, opened_readings, readings_file
from hospital_node.cohort.reasons import REASONS
from hospital_node.cohort.residue import residue
from hospital_node.cohort.selection import Arrival, Selection, selected
from hospital_node.cohort.sources import Listing, folder_files
from hospital_node.cohort.store import (
    MASKS,
    PIXELS,
    Cohort,
    Records,
    place,
    workshop,
)
from hospital_node.cohort.workers import call
from schemas.contract import DataContract
from schemas.errors import SourceEmpty
from schemas.manifest import DatasetManifest, FileCount
from schemas.names import Digest

__all__ = ["Desk", "IngestReport", "ingest"]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a source."""

    manifest: DatasetManifest
    findings: tuple[Finding, ...]


def ingest(source: Path, labels: Path, contract: DataContract, *, desk: Desk) -> IngestReport:
    """Make the cohort of a contract and store it.

    Raises:
        InputRefused: the source is no folder, the program that searches for text is missing, or the
            contract names an attribute that does not exist.
        LabelsRefused: the labels table has a fault.
        SourceEmpty: no file, or none that can be used.
        NotConforming: a blocking check of the contract fails.
        HomeRefused: the pseudonym key is not the one that this home's parts were made under.
    """
    refuse_missing(contract)
    refuse_unknown_attributes(contract)
    ground = Ground(source, labels, contract, desk)
    if before := ground.unchanged():
        return _as_before(before, desk)
    memory = readings_file(desk.store, contract)
    listed = folder_files(source, besides=labels)
    if not memory.exists():
        call(min(desk.workers, len(listed)))
    files, known = _known(listed, labels, contract, desk)
    names = file_names(files, key=desk.key) if memory.exists() else []
    if names and (before := ground.unchanged(names)):
        return _as_before(before, desk)
    try:
        with opened_readings(memory) as readings:
            return _made(files, names, known, readings, ground)
    except sqlite3.DatabaseError:
        memory.unlink(missing_ok=True)  # damaged: everything is read anew
    with opened_readings(memory) as readings:
        return _made(files, [], known, readings, ground)


def _known(
    listed: Listing, labels: Path, contract: DataContract, desk: Desk
) -> tuple[Listing, Known]:
    """Return all files, the pictures that the table names among them, and the table under the key.

    The table itself, with the hospital's own names, is not kept.
    """
    table = read_labels(labels, contract)
    files, pictures = with_pictures(listed, table, labels.parent)
    return files, Known.of(table, contract, desk=desk, pictures=pictures)


def _as_before(cohort: Cohort, desk: Desk) -> IngestReport:
    desk.progress(cohort.manifest.read, cohort.manifest.read)
    return IngestReport(cohort.manifest, cohort.findings)


def _made(
    files: Listing, names: Sequence[str], known: Known, readings: Readings, ground: Ground
) -> IngestReport:
    contract, desk = known.contract, known.desk
    reader = Reader(known, readings)
    seen = [""] * len(files)
    admission = Admission(known)
    for done, (position, name, read) in enumerate(outcomes(files, names, reader), start=1):
        seen[position] = name
        admission.take(position, name, read)
        desk.progress(done, len(files))
    admission.close()
    chosen = selected(
        admission.arrivals, max_images_per_patient=contract.cohort.max_images_per_patient
    )
    chosen = replace(chosen, refused=(*chosen.refused, *admission.refused))
    used, not_used = _counted(chosen, admission.not_used)
    quarantine.forget(desk.store, contract.digest, besides=set(seen))
    _refuse_nothing(used, not_used)
    del chosen
    admission.arrivals.clear()  # what is not used any more makes room for what comes
    with workshop(desk.store) as folder:
        (pack, survey), masks = packed(readings, used, contract, folder / PIXELS), None
        if contract.labels.mask is not None:
            masks, lost = packed_masks(readings, used, contract.preprocessing, folder / MASKS)
            admission.risks["mask-lost", ""] += lost
        manifest = _manifest(used, not_used, known, packs=(pack, masks))
        del used
        evidence = Evidence(
            noted=not_used + admission.risks,
            labels=len(known.rows),
            unread_labels=len(admission.unread),
            survey=survey,
        )
        findings = _examined(manifest, known, evidence)
        refuse_unfit(findings)
        settle_parts(desk.store, manifest, key=desk.key)
        records = Records(contract, manifest, findings, ground.origin(seen))
        place(folder, desk.store, records)
    readings.drop(sorted(readings.names() - set(seen)))
    return IngestReport(manifest, findings)


def _counted(
    chosen: Selection, not_used: Counter[tuple[str, str]]
) -> tuple[tuple[Arrival, ...], Counter[tuple[str, str]]]:
    """Give each file to one row, or to one code, so that all of them add up."""
    counted: set[int] = set()
    used = []
    for one in chosen.used:
        own = tuple(file for file in one.files if file not in counted)
        counted.update(own)
        used.append(one if len(own) == len(one.files) else replace(one, files=own))
    left = Counter(not_used)
    for code, one in chosen.refused:
        new = set(one.files) - counted
        counted |= new
        left[code, ""] += len(new)
    return tuple(used), +left


def _refuse_nothing(used: Sequence[Arrival], not_used: Counter[tuple[str, str]]) -> None:
    if used:
        return
    counts = ", ".join(f"{count} {code}" for (code, _), count in sorted(not_used.items()))
    message = f"source refused: found no image that can be used ({counts}); at least one is needed"
    (code, _), _ = not_used.most_common(1)[0]
    raise SourceEmpty(message, next_step=f"{code}: {REASONS[code].remedy}")


def _examined(manifest: DatasetManifest, known: Known, evidence: Evidence) -> tuple[Finding, ...]:
    """Check the cohort, and last what the checks themselves would store."""
    findings = examined(manifest, known.contract, evidence)
    patients = {one.patient for one in known.rows.values()}
    left = residue(
        manifest, findings, known.contract, named=(known.rows, patients), key=known.desk.key
    )
    return (*findings, *found_residue(left, known.contract))


def _manifest(
    used: Sequence[Arrival],
    not_used: Counter[tuple[str, str]],
    known: Known,
    *,
    packs: tuple[Digest, Digest | None],
) -> DatasetManifest:
    contract = known.contract
    counts: Counter[str] = Counter()
    for (code, _), count in not_used.items():
        counts[code] += count
    rows = tuple(one.row for one in used)
    return DatasetManifest(
        site=known.desk.site,
        contract=contract.digest,
        pack=packs[0],
        masks=packs[1],
        height=contract.preprocessing.height,
        width=contract.preprocessing.width,
        read=sum(row.files for row in rows) + counts.total(),
        rows=rows,
        not_used=tuple(
            FileCount(outcome=REASONS[code].outcome, code=code, files=count)
            for code, count in sorted(counts.items())
        ),
    )
