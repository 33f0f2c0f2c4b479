"""A medium by its DICOMDIR (PS3.3 annex F): the files that it lists, all of them, and no others.

* A file identifier is a path of plain components below the DICOMDIR's folder; anything else is
  refused, and so is one that leads out over a link.
* A file that is listed and not there is counted, and the medium is refused.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from schemas.errors import InputRefused, SourceEmpty

__all__ = ["listed_files"]

MAX_BYTES = 2**28
_COMPONENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_. -]{1,64}")
"""The standard allows eight capital letters, digits and underscores (PS3.10 section 8.2)."""
_DIRECTORY = "1.2.840.10008.1.3.10"
"""Media Storage Directory Storage."""
_HOW = "name a folder, a zip archive or a DICOMDIR with --source"


def listed_files(path: Path) -> tuple[Path, ...]:
    """Return the files that a DICOMDIR lists, in its order.

    Raises:
        InputRefused: no DICOMDIR, or one that lists a file elsewhere or one that is not there.
        SourceEmpty: it lists none.
    """
    root, places = path.parent.resolve(), list(_listed(path))
    if any(not places or not all(map(_COMPONENT.fullmatch, one)) for one in places):
        message = "DICOMDIR refused: it names a file in a way that the standard does not allow"
        raise InputRefused(message, next_step="name its folder instead, to read what is there")
    found = [_found(root, one) for one in dict.fromkeys(places)]
    files = tuple(one for one in found if one is not None)
    if len(files) < len(found):
        message = (
            f"DICOMDIR refused: {len(found) - len(files)} of {len(found)} files that it lists are "
            "not there, all are needed"
        )
        raise InputRefused(message, next_step="name its folder instead, to read what is there")
    if not files:
        message = "source refused: the DICOMDIR lists no file; at least one is needed"
        raise SourceEmpty(message, next_step="check that the medium was finished")
    return files


def _listed(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the file identifiers of all records."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES:
        message = "source refused: no folder, zip archive or DICOMDIR"
        raise InputRefused(message, next_step=_HOW)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the file
            dataset = dcmread(path, specific_tags=["DirectoryRecordSequence"])
            is_directory = dataset.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY
            records = [_identifier(one) for one in dataset.get("DirectoryRecordSequence") or ()]
    except Exception:  # noqa: BLE001 - hostile bytes can make a parser raise anything
        message = "source refused: no folder, zip archive or readable DICOMDIR"
        raise InputRefused(message, next_step=_HOW) from None
    if not is_directory:
        message = "source refused: a DICOM file that is no DICOMDIR"
        raise InputRefused(message, next_step=_HOW)
    yield from (one for one in records if one)


def _identifier(record: Dataset) -> tuple[str, ...]:
    value = record.get("ReferencedFileID") or ()
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value)


def _found(root: Path, components: tuple[str, ...]) -> Path | None:
    """Return a listed file, whatever the case of its name on this disk; None: not there."""
    place = root
    for one in components:
        exact = place / one
        if not exact.exists() and place.is_dir():
            exact = next((each for each in place.iterdir() if _is_same(each.name, one)), exact)
        place = exact
    is_inside = place.resolve().is_relative_to(root)
    return place if is_inside and place.is_file() and not place.is_symlink() else None


def _is_same(name: str, listed: str) -> bool:
    """Compare as media are mounted: in lower case, or with the version of ISO 9660."""
    return name.lower().removesuffix(";1").removesuffix(".") == listed.lower()
