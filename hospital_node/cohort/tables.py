"""A file's own look-up tables: from stored values to units, and from units to what is shown.

* The first item of each sequence counts, as of windows the first. A table that is not as long as
  it says, or holds more than its bits, is refused.
* Values below the table take its first entry, those beyond it its last (PS3.3 sections C.11.1.1.1
  and C.11.2.1.1); a unit between two entries takes the lower one.
* Only the descriptor and the entries are read; the explanation is free text.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from hospital_node.cohort.deidentification import Technical, raw_element
from hospital_node.cohort.reasons import Unfit

__all__ = ["MODALITY_TABLE", "SHOWN_TABLE", "Table", "table_of"]

MODALITY_TABLE = 0x00283000
"""Modality LUT Sequence (PS3.3 section C.11.1)."""
SHOWN_TABLE = 0x00283010
"""VOI LUT Sequence (PS3.3 section C.11.2)."""
_DESCRIPTOR, _ENTRIES = 0x00283002, 0x00283006
_WORDS = 3
_MOST = 2**16
_BYTE, _WORD = 8, 16


@dataclass(frozen=True, slots=True)
class Table:
    """Entries for consecutive values, from `first` on."""

    first: int
    bits: int
    """Of an entry."""
    entries: NDArray[np.int32]

    def __str__(self) -> str:
        """Name the table by all that it holds."""
        content = hashlib.sha256(self.entries.astype("<i4").tobytes()).hexdigest()
        return f"{self.first} {self.bits} {content}"

    def of(self, values: NDArray[Any]) -> NDArray[np.int32]:
        """Look values up."""
        places = np.clip(np.floor(values - float(self.first)), 0, len(self.entries) - 1)
        return self.entries[places.astype(np.intp)]


def table_of(dataset: Dataset, sequence: int, header: Technical) -> Table | None:
    """Return a table of a file, or None."""
    items = dataset[sequence].value if sequence in dataset else ()
    if not items:
        return None
    descriptor, entries = (raw_element(items[0], tag) for tag in (_DESCRIPTOR, _ENTRIES))
    if descriptor is None or len(descriptor.value or b"") != 2 * _WORDS or entries is None:
        raise Unfit("modality-table")
    count, first, bits = (int(one) for one in _words(descriptor))
    if first >= _MOST // 2 and _is_signed(descriptor, sequence, header):
        first -= _MOST
    found = _entries(entries, count or _MOST)
    if not _BYTE <= bits <= _WORD or found.max() >> bits:
        raise Unfit("modality-table")
    return Table(first, bits, found)


def _is_signed(descriptor: RawDataElement, sequence: int, header: Technical) -> bool:
    """Say whether the first value may be below zero, also where no representation says so."""
    if descriptor.VR in {"SS", "US"}:
        return descriptor.VR == "SS"
    is_shifted = sequence == SHOWN_TABLE and float(header.get("RescaleIntercept", "0")) < 0
    return is_shifted or header.get("PixelRepresentation") == "1"


def _words(element: RawDataElement) -> NDArray[np.uint16]:
    return np.frombuffer(element.value or b"", "<u2" if element.is_little_endian else ">u2")


def _entries(element: RawDataElement, count: int) -> NDArray[np.int32]:
    """Return entries of a word each, or of a byte each where they are packed."""
    size = len(element.value or b"")
    if size == 2 * count:
        return _words(element).astype(np.int32)
    if size == count + count % 2 and element.is_little_endian:
        return np.frombuffer(element.value or b"", np.uint8)[:count].astype(np.int32)
    raise Unfit("modality-table")
