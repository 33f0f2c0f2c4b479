"""The labels table: which patient and which class each image belongs to.

* Columns `sop_instance_uid` (of volumes: `series_instance_uid`) and `patient_id`, the contract's
  label column, and its part column where it names one; others are ignored. UTF-8, separated by
  commas or semicolons.
* Where the contract has masks, a column may name each image's PNG, below the table's own folder;
  not of volumes, whose masks are DICOM Segmentations.
* A table with any fault is refused whole: a wrong label trains a wrong model.
* A refusal names columns and allowed classes, and counts rows; it never shows a value.
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from schemas.contract import DataContract, PartByColumn
from schemas.errors import LabelsRefused
from schemas.image_rules import Volume
from schemas.manifest import Part

__all__ = ["Label", "read_labels"]

INSTANCE, SERIES, PATIENT = "sop_instance_uid", "series_instance_uid", "patient_id"


@dataclass(frozen=True, slots=True)
class Label:
    """One row: the patient as the hospital names them, the class, and perhaps the part."""

    patient: str
    label: int
    """Index into the contract's classes."""
    part: Part | None
    mask: str = ""
    """A PNG, from the table's folder; empty where none is named."""


def read_labels(path: Path, contract: DataContract) -> Mapping[str, Label]:
    """Return the labels by SOP instance UID, or by series instance UID where series are volumes.

    Raises:
        LabelsRefused: no such file, a missing column, an unknown label or part, an empty or
            repeated UID, an empty patient, or a patient in both parts.
    """
    columns = _columns(contract)
    own = columns[0]
    picture = _picture_column(contract)
    rows = _rows(path, columns, picture)
    _refuse_outside(rows, picture)
    _refuse_empty(rows, own)
    _refuse_unknown(rows, contract)
    repeated = sum(count > 1 for count in Counter(row[own] for row in rows).values())
    if repeated:
        raise _refused(
            f"{_count(repeated, 'value')} of {own} in more than one row; each has one",
            "keep one row for each image",
        )
    table = {row[own]: _label(row, contract) for row in rows}
    parts = {(one.patient, one.part) for one in table.values()}
    split = len(parts) - len({patient for patient, _ in parts})
    if split:
        raise _refused(
            f"{_count(split, 'patient')} with rows in both parts; a patient belongs to one",
            "give all images of a patient the same part",
        )
    return table


def _columns(contract: DataContract) -> tuple[str, ...]:
    parts = contract.cohort.parts
    named = (parts.column,) if isinstance(parts, PartByColumn) else ()
    own = SERIES if isinstance(contract.image.frames, Volume) else INSTANCE
    return (own, PATIENT, contract.labels.column, *named)


def _picture_column(contract: DataContract) -> str:
    """Return the column that may name PNGs; empty where none can."""
    rules = contract.labels.mask
    return "" if rules is None or isinstance(contract.image.frames, Volume) else rules.column


def _rows(path: Path, columns: tuple[str, ...], picture: str) -> list[dict[str, str]]:
    """Read the named columns, and that of PNGs if it is there, without surrounding blanks."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = ";" if first.count(";") > first.count(",") else ","
            reader = csv.DictReader(file, delimiter=separator, strict=True)
            present = [name.strip() for name in reader.fieldnames or ()]
            _refuse_columns(present, columns)
            if picture in present:
                columns = (*columns, picture)
            reader.fieldnames = present
            whole = list(reader)
            _refuse_shifted(whole, present)
            rows = [{one: (row[one] or "").strip() for one in columns} for row in whole]
    except FileNotFoundError:
        raise _refused(
            "no such file; a table of labels is needed", "write it, or name it with --labels FILE"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise _refused(
            "not a readable table; UTF-8 with comma-separated columns is allowed",
            "save it as CSV in UTF-8",
        ) from None
    return rows


def _refuse_shifted(rows: list[dict[str, str]], present: list[str]) -> None:
    """Refuse rows with more or fewer cells than the header: a shifted cell is a wrong label."""
    shifted = sum(set(row) != set(present) or None in row.values() for row in rows)
    if shifted:
        raise _refused(
            f"{shifted} row{'s' * (shifted > 1)} with another number of cells than the header's "
            f"{len(present)}",
            "quote cells that hold the separator, such as a decimal comma",
        )


def _refuse_columns(present: list[str], columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in present]
    if missing:
        what = "column {} is" if len(missing) == 1 else "columns {} are"
        raise _refused(
            f"{what.format(', '.join(missing))} missing; needed are {', '.join(columns)}",
            "add what is missing, or name another table with --labels FILE",
        )
    if any(present.count(name) > 1 for name in columns):
        raise _refused("a column stands in it twice; each may stand once", "remove one of them")


def _refuse_outside(rows: list[dict[str, str]], picture: str) -> None:
    """Refuse files that do not lie below the table's folder."""
    named = [PurePosixPath(row[picture]) for row in rows if row.get(picture)]
    outside = sum(one.is_absolute() or ".." in one.parts or "\\" in str(one) for one in named)
    if outside:
        raise _refused(
            f"{_count(outside, 'row')} with a file in column {picture} that does not lie below the "
            "table's folder; only such are read",
            "name files from the table's folder on, with / between folders",
        )


def _refuse_empty(rows: list[dict[str, str]], own: str) -> None:
    if not rows:
        raise _refused("no rows; one for each image is needed", "add a row for each image")
    for column in (own, PATIENT):
        empty = sum(not row[column] for row in rows)
        if empty:
            raise _refused(
                f"{_count(empty, 'row')} without {column}; every row needs one", "fill them in"
            )


def _refuse_unknown(rows: list[dict[str, str]], contract: DataContract) -> None:
    """Refuse values that the contract does not list."""
    lists = {contract.labels.column: [one.value for one in contract.labels.classes]}
    match contract.cohort.parts:
        case PartByColumn(column=column, train=train, validation=validation):
            lists[column] = [train, validation]
    for column, allowed in lists.items():
        unknown = sum(row[column] not in allowed for row in rows)
        if unknown:
            raise _refused(
                f"{_count(unknown, 'row')} with an unknown or empty value in column {column}; "
                f"allowed are {', '.join(allowed)}",
                "mend these rows, or leave the images out of the table and the source",
            )


def _label(row: dict[str, str], contract: DataContract) -> Label:
    values = [one.value for one in contract.labels.classes]
    label = values.index(row[contract.labels.column])
    mask = row.get(_picture_column(contract), "")
    match contract.cohort.parts:
        case PartByColumn(column=column, validation=validation):
            part: Part = "validation" if row[column] == validation else "train"
            return Label(row[PATIENT], label, part, mask)
        case _:
            return Label(row[PATIENT], label, None, mask)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _refused(found: str, next_step: str) -> LabelsRefused:
    return LabelsRefused(f"labels table refused: {found}", next_step=next_step)
