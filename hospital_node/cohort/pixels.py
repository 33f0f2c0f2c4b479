"""A file's pixel data, one frame after the other, as numbers with their meaning.

* Memory holds the file, one frame, and what is made of it.
* The codecs get numbers from the header and the pixel bytes, nothing else of the file.
* Colour is made by whole numbers and single IEEE 754 operations, so it has equal bits everywhere.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

from hospital_node.cohort import codecs
from hospital_node.cohort.deidentification import Technical, raw_element
from hospital_node.cohort.reasons import Unfit
from hospital_node.cohort.tables import MODALITY_TABLE, SHOWN_TABLE, table_of
from hospital_node.cohort.transforms import Stored
from hospital_node.cohort.windows import OwnWindowing

__all__ = ["PALETTE_TAGS", "PIXELS", "decoded_frames", "stored_frames"]

PIXELS = 0x7FE00010
PALETTE_TAGS = (0x00281101, 0x00281102, 0x00281103, 0x00281201, 0x00281202, 0x00281203)
"""Descriptors and data of the red, green and blue tables (PS3.3 section C.7.6.3.1.5)."""

Values: TypeAlias = NDArray[np.integer]
Signed: TypeAlias = NDArray[np.signedinteger[Any]]
_WIDEST = 32
_TABLE_BYTES = 2**17
"""Of 65536 entries of 16 bits."""


def stored_frames(
    dataset: Dataset, headers: Sequence[Technical], *, tables: Iterable[int] = ()
) -> Iterator[Stored]:
    """Yield the frames of a file, each with its own header; `tables` are those to be read."""
    found = {tag: table_of(dataset, tag, headers[0]) for tag in tables}
    palette = _palette(dataset) if headers[0]["PhotometricInterpretation"] == _PALETTE else None
    for values, header in zip(decoded_frames(dataset, headers), headers, strict=True):
        bits, is_signed = int(header["BitsStored"]), header.get("PixelRepresentation") == "1"
        cut: Signed = _cut(values, bits, is_signed=is_signed)
        if palette is not None:
            cut, bits = _coloured(cut, palette)
        yield Stored(
            values=cut,
            bits=bits,
            is_signed=is_signed and palette is None,
            is_inverted=header["PhotometricInterpretation"] == "MONOCHROME1",
            slope=float(header.get("RescaleSlope", "1")),
            intercept=float(header.get("RescaleIntercept", "0")),
            window=_window(header),
            units=found.get(MODALITY_TABLE),
            shown=found.get(SHOWN_TABLE),
        )


_PALETTE = "PALETTE COLOR"


def decoded_frames(dataset: Dataset, headers: Sequence[Technical]) -> Iterator[Values]:
    """Yield the numbers of each frame, as a codec gives them."""
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") or "")
    element = raw_element(dataset, PIXELS)
    if element is None or not element.value:
        raise Unfit("no-pixels")
    if not re.fullmatch(r"[0-9.]{1,64}", syntax) or not UID(syntax).is_transfer_syntax:
        raise Unfit("transfer-syntax")
    try:
        yield from codecs.decoded(
            element.value,
            headers[0],
            syntax=UID(syntax),
            frames=len(headers),
            representation=element.VR or "OW",
        )
    except codecs.CodecMissing as missing:
        raise Unfit("codec-missing", missing.syntax) from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as in `dicom.read`; the codecs have no common error
        raise Unfit("undecodable") from None


def _cut(values: Values, bits: int, *, is_signed: bool) -> Signed:
    """Keep the stored bits; above them older files hold overlays (PS3.5 section 8.1.1)."""
    if bits == _WIDEST and not is_signed:  # the one layout that int32 cannot hold
        return values.astype(np.int64)
    wide = values.astype(np.int32)
    if bits < _WIDEST:
        wide &= np.int32((1 << bits) - 1)
        if is_signed:
            half = np.int32(1 << (bits - 1))
            wide ^= half  # two's complement of fewer bits: flip the sign bit, then move zero back
            wide -= half
    return wide


def _window(header: Technical) -> OwnWindowing | None:
    """Return the first window that a header names."""
    if not {"WindowCenter", "WindowWidth"} <= header.keys():
        return None
    centre, width = (
        float(header[keyword].split("\\")[0]) for keyword in ("WindowCenter", "WindowWidth")
    )
    return OwnWindowing(centre, width, header.get("VOILUTFunction", "LINEAR"))


def _palette(dataset: Dataset) -> Dataset:
    """Return a data set with nothing but the colour tables."""
    tables = Dataset()
    for tag in PALETTE_TAGS:
        element = raw_element(dataset, tag)
        if element is None or len(element.value or b"") > _TABLE_BYTES:
            raise Unfit("palette")
        tables[tag] = element
    return tables


def _coloured(indexes: Values, palette: Dataset) -> tuple[NDArray[np.int32], int]:
    """Look colours up; return [rows, columns, 3] and the bits of a colour."""
    try:
        colours = apply_color_lut(indexes, palette)
    except Exception:  # noqa: BLE001 - whatever is wrong with a table, it is refused
        raise Unfit("palette") from None
    return colours.astype(np.int32), 8 * colours.dtype.itemsize
