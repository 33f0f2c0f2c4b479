"""From a folder of DICOM and a labels table to a stored cohort.

* Every file ends as used, quarantined or refused, with a code; the manifest refuses counts that
  do not add up.
* Memory holds one row for each image and the pixels of one patient; all others wait on disk.
* Equal sources give equal cohorts, byte for byte, in whatever order files are found.
* What is below the contract's blocking checks leaves nothing behind, and an earlier cohort as it
  was.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hospital_node.cohort.contract_checks import Finding, examined, refuse_unfit
from hospital_node.cohort.deidentification import part_of, pseudonym
from hospital_node.cohort.dicom import Image, NotUsed, read
from hospital_node.cohort.labels import Label, read_labels
from hospital_node.cohort.parts import settle_parts
from hospital_node.cohort.reasons import REASONS
from hospital_node.cohort.selection import Arrival, selected
from hospital_node.cohort.sources import folder_files
from hospital_node.cohort.store import PIXELS, place, seal_pixels, workshop
from hospital_node.cohort.transforms import normalised
from schemas.contract import DataContract, PartByHash
from schemas.errors import SourceEmpty
from schemas.manifest import DatasetManifest, FileCount, ImageRow, Part
from schemas.names import Digest, SiteName

__all__ = ["Desk", "IngestReport", "ingest"]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the work is done, for whom, and who watches."""

    site: SiteName
    key: bytes = field(repr=False)
    """32 bytes that never leave the site; pseudonyms and parts are made with it."""
    store: Path
    progress: Callable[[int, int], None]
    """Called with the number of files done and of all files."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a source."""

    manifest: DatasetManifest
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Intake:
    """What was read so far."""

    arrivals: list[Arrival] = field(default_factory=list)
    not_used: Counter[tuple[str, str]] = field(default_factory=Counter)
    risks: Counter[tuple[str, str]] = field(default_factory=Counter)
    instances: set[str] = field(default_factory=set)


def ingest(source: Path, labels: Path, contract: DataContract, *, desk: Desk) -> IngestReport:
    """Make the cohort of a contract and store it.

    Raises:
        InputRefused: the source is no folder.
        LabelsRefused: the labels table has a fault.
        SourceEmpty: no file, or none that can be used.
        NotConforming: a blocking check of the contract fails.
    """
    files = folder_files(source, besides=labels)
    table = read_labels(labels, contract)
    with workshop(desk.store) as folder:
        waiting = folder / "waiting"
        with waiting.open("w+b") as file:
            intake = _taken(files, table, contract, desk=desk, file=file)
            chosen = selected(
                intake.arrivals, max_images_per_patient=contract.cohort.max_images_per_patient
            )
            intake.not_used.update((code, "") for code in chosen.refused)
            _refuse_nothing(chosen.used, intake)
            pack = _packed(file, chosen.used, contract, folder / PIXELS)
        waiting.unlink()
        manifest = _manifest(chosen.used, intake, contract, pack=pack, desk=desk)
        findings = examined(
            manifest,
            contract,
            noted=intake.not_used + intake.risks,
            unread_labels=len(table.keys() - intake.instances),
        )
        refuse_unfit(findings)
        settle_parts(desk.store, manifest)
        place(folder, desk.store, contract=contract, manifest=manifest, findings=findings)
    return IngestReport(manifest, findings)


def _taken(
    files: Sequence[Path],
    table: Mapping[str, Label],
    contract: DataContract,
    *,
    desk: Desk,
    file: BinaryIO,
) -> _Intake:
    """Read every file; pixels of those with a label go to `file` in the order of arrival."""
    intake = _Intake()
    for done, path in enumerate(files, start=1):
        outcome = _with_label(read(path, contract), table, intake.instances)
        match outcome:
            case NotUsed(code=code, detail=detail):
                intake.not_used[code, detail] += 1
            case Image():
                intake.risks.update((risk, "") for risk in outcome.risks)
                row = _row(outcome, table[outcome.instance], contract, key=desk.key)
                intake.arrivals.append(Arrival(row, len(intake.arrivals), outcome.instance))
                file.write(outcome.plane.astype("<f4").tobytes())
        desk.progress(done, len(files))
    file.flush()
    return intake


def _with_label(
    outcome: Image | NotUsed, table: Mapping[str, Label], instances: set[str]
) -> Image | NotUsed:
    """Refuse an image without a label, or under another patient than its label's."""
    if isinstance(outcome, NotUsed):
        return outcome
    instances.add(outcome.instance)
    label = table.get(outcome.instance)
    if label is None:
        return NotUsed("no-label")
    if outcome.patient and outcome.patient != label.patient:
        return NotUsed("patient-differs")
    return outcome


def _row(image: Image, label: Label, contract: DataContract, *, key: bytes) -> ImageRow:
    match contract.cohort.parts:
        case PartByHash(validation_fraction=fraction):
            part: Part = part_of(label.patient, key=key, validation_fraction=fraction)
        case _:
            part = label.part or "train"
    return ImageRow(
        image=image.digest,
        patient=pseudonym(label.patient, key=key),
        part=part,
        label=label.label,
    )


def _refuse_nothing(used: Sequence[Arrival], intake: _Intake) -> None:
    if used:
        return
    counts = ", ".join(f"{count} {code}" for (code, _), count in sorted(intake.not_used.items()))
    message = f"source refused: found no image that can be used ({counts}); at least one is needed"
    (code, _), _ = intake.not_used.most_common(1)[0]
    raise SourceEmpty(message, next_step=f"{code}: {REASONS[code].remedy}")


def _packed(file: BinaryIO, used: Sequence[Arrival], contract: DataContract, path: Path) -> Digest:
    """Normalise patient by patient and write the pixels in the order of `used`."""
    recipe = contract.preprocessing
    waiting = np.memmap(file, dtype="<f4", mode="r").reshape(-1, recipe.height, recipe.width)
    pixels = np.lib.format.open_memmap(
        path, mode="w+", dtype="<f4", shape=(len(used), recipe.height, recipe.width)
    )
    patients: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, one in enumerate(used):
        patients[one.row.patient].append((index, one.position))
    for places in patients.values():
        images = [np.asarray(waiting[position]) for _, position in places]
        for (index, _), image in zip(places, normalised(images, recipe.normalisation), strict=True):
            pixels[index] = image
    pixels.flush()
    return seal_pixels(path)


def _manifest(
    used: Sequence[Arrival], intake: _Intake, contract: DataContract, *, pack: Digest, desk: Desk
) -> DatasetManifest:
    counts: Counter[str] = Counter()
    for (code, _), count in intake.not_used.items():
        counts[code] += count
    return DatasetManifest(
        site=desk.site,
        contract=contract.digest,
        pack=pack,
        height=contract.preprocessing.height,
        width=contract.preprocessing.width,
        read=len(used) + counts.total(),
        rows=tuple(one.row for one in used),
        not_used=tuple(
            FileCount(outcome=REASONS[code].outcome, code=code, files=count)
            for code, count in sorted(counts.items())
        ),
    )
