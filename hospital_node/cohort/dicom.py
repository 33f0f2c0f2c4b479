"""One DICOM file becomes one image at the recipe's size, or a coded reason why not.

* The outcome is a function of the file's bytes and the contract; it names no file, and no text of
  the file or of the codec's complaint is in it.
* Cheap claims come first: the header is judged before pixels are decoded, and the pixels that it
  announces are bounded before memory is asked for.
* Only listed attributes are parsed; the codecs get numbers from the header and the pixel bytes,
  nothing else.
"""

import hashlib
import logging
import re
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from hospital_node.cohort import codecs
from hospital_node.cohort.deidentification import (
    ALLOWED,
    OVERLAY_TAGS,
    Malformed,
    Technical,
    raw_element,
    risks_of,
    technical,
)
from hospital_node.cohort.transforms import Plane, Stored, resized
from schemas.contract import DataContract, ImageRules, Range, Window
from schemas.names import Digest

__all__ = ["Image", "NotUsed", "read"]

MAX_FILE_BYTES = 2**29
MAX_PIXELS = 2**26
HEADER_FIRST_BYTES = 2**24
"""Above this size a file's header is judged before the rest of it is read."""

_PIXELS = 0x7FE00010
_MODALITY_TABLE = 0x00283000
_IDENTITY = (0x00080018, 0x00100020)
"""SOP Instance UID and Patient ID: they find the label, and stay in memory."""

for _name in ("openjpeg", "pydicom", "pylibjpeg"):
    # Their complaints quote values of the file.
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Image:
    """An image that may be used; `instance` and `patient` are the file's own, never stored."""

    instance: str
    patient: str
    digest: Digest
    """Of the stored values, whatever their compression."""
    plane: Plane
    """At the recipe's size, not yet normalised."""
    risks: tuple[str, ...] = ()
    """Signs of burned-in text that the contract only warns of."""


@dataclass(frozen=True, slots=True)
class NotUsed:
    """Why a file gave no image: a code of `REASONS`, with a name from the standard or nothing."""

    code: str
    detail: str = ""


class _Unfit(Exception):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.reason = NotUsed(code, detail)


def read(path: Path, contract: DataContract) -> Image | NotUsed:
    """Read one file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the file
            return _read(path, contract)
    except _Unfit as unfit:
        return unfit.reason
    except Malformed:
        return NotUsed("attribute-malformed")
    except Exception:  # noqa: BLE001 - hostile bytes can make a parser raise anything, and cost one file
        return NotUsed("unreadable")


def _read(path: Path, contract: DataContract) -> Image | NotUsed:
    dataset = _parsed(path, contract)
    header = technical(dataset)
    risks = _judged(dataset, header, contract)
    if _PIXELS not in dataset:
        raise _Unfit("no-pixels")
    stored = _stored(dataset, header)
    return Image(
        instance=str(dataset.get("SOPInstanceUID") or ""),
        patient=str(dataset.get("PatientID") or "").strip(),
        digest=_digest(stored),
        plane=resized(stored, contract.preprocessing),
        risks=risks,
    )


def _parsed(path: Path, contract: DataContract) -> Dataset:
    """Parse the listed attributes; a large file only after its header was judged."""
    if path.is_symlink() or not path.is_file():
        raise _Unfit("not-a-file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise _Unfit("too-large")
    tags = _tags(contract.image.required_attributes)
    with path.open("rb") as file:
        start = file.read(2**16)
        if start[128:132] != b"DICM":
            raise _Unfit("not-dicom")
        is_deflated = DeflatedExplicitVRLittleEndian.encode() in start
        if size > HEADER_FIRST_BYTES and not is_deflated:
            file.seek(0)
            header = dcmread(file, stop_before_pixels=True, specific_tags=tags)
            _judged(header, technical(header), contract)
            file.seek(len(start))
        content = start + file.read()
    if is_deflated:
        _bound_inflation(content)
    return dcmread(BytesIO(content), specific_tags=tags)


def _tags(required: tuple[str, ...]) -> list[int]:
    named = [tag for keyword in (*ALLOWED, *required) if (tag := tag_for_keyword(keyword))]
    return [*named, *OVERLAY_TAGS, *_IDENTITY, _MODALITY_TABLE, _PIXELS]


def _bound_inflation(content: bytes) -> None:
    """Refuse a deflated data set that would grow beyond the limit (PS3.5 section A.5).

    The file meta information is never deflated; its first element says how long it is (PS3.10
    section 7.1).
    """
    start = 144 + int.from_bytes(content[140:144], "little")
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for offset in range(start, len(content), 2**14):
        size += len(inflater.decompress(content[offset : offset + 2**14]))
        if size > MAX_FILE_BYTES:
            raise _Unfit("too-large")


def _judged(dataset: Dataset, header: Technical, contract: DataContract) -> tuple[str, ...]:
    """Compare a header with the contract; return the risks that it only warns of."""
    for code, is_unfit in _HEADER_CHECKS.items():
        if is_unfit(header, contract.image):
            raise _Unfit(code)
    if any(not _is_filled(dataset, keyword) for keyword in contract.image.required_attributes):
        raise _Unfit("attribute-missing")
    if isinstance(contract.preprocessing.intensity, Window) and _MODALITY_TABLE in dataset:
        raise _Unfit("modality-table")
    risks = risks_of(header, overlay=any(tag in dataset for tag in OVERLAY_TAGS))
    if risks and contract.deidentification.burned_in != "warn":
        raise _Unfit(risks[0])
    return risks


def _is_filled(dataset: Dataset, keyword: str) -> bool:
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return False
    element = raw_element(dataset, tag)
    if element is None:
        return True  # a sequence
    return isinstance(element.value, bytes) and element.value.strip(b" \0") != b""


def _within(header: Technical, keyword: str, allowed: Range) -> bool:
    return allowed.least <= int(header.get(keyword, "0")) <= allowed.most


_HEADER_CHECKS: Mapping[str, Callable[[Technical, ImageRules], bool]] = MappingProxyType(
    {
        "sop-class": lambda header, rules: header.get("SOPClassUID") not in rules.sop_classes,
        "modality": lambda header, rules: header.get("Modality") not in rules.modalities,
        "no-pixels": lambda header, _: header.keys().isdisjoint(
            {"Rows", "PhotometricInterpretation"}
        ),
        "multi-frame": lambda header, _: int(header.get("NumberOfFrames", "1")) != 1,
        "colour": lambda header, _: (
            int(header.get("SamplesPerPixel", "1")) != 1
            or not header.get("PhotometricInterpretation", "MONOCHROME").startswith("MONOCHROME")
        ),
        "photometric": lambda header, rules: (
            header.get("PhotometricInterpretation") not in rules.photometric
        ),
        "rows": lambda header, rules: not _within(header, "Rows", rules.rows),
        "columns": lambda header, rules: not _within(header, "Columns", rules.columns),
        "too-many-pixels": lambda header, _: (
            int(header["Rows"]) * int(header["Columns"]) > MAX_PIXELS
        ),
        "bits-stored": lambda header, rules: not _within(header, "BitsStored", rules.bits_stored),
        "bit-layout": lambda header, _: not _is_laid_out(header),
    }
)
"""In this order; each may rely on those before it."""


def _is_laid_out(header: Technical) -> bool:
    """Say whether the bits of a pixel lie as the standard says (PS3.5 section 8.1.1)."""
    stored, allocated = int(header["BitsStored"]), header.get("BitsAllocated", "")
    return (
        allocated in {"8", "16", "32"}
        and stored <= int(allocated)
        and int(header.get("HighBit", stored - 1)) == stored - 1
        and header.get("PixelRepresentation", "0") in {"0", "1"}
    )


def _stored(dataset: Dataset, header: Technical) -> Stored:
    values = _decoded(dataset, header)
    bits, is_signed = int(header["BitsStored"]), header.get("PixelRepresentation") == "1"
    values = _cut(values, bits, is_signed=is_signed)
    if values.min() == values.max():
        raise _Unfit("blank")
    return Stored(
        values=values,
        bits=bits,
        is_signed=is_signed,
        is_inverted=header["PhotometricInterpretation"] == "MONOCHROME1",
        slope=float(header.get("RescaleSlope", "1")),
        intercept=float(header.get("RescaleIntercept", "0")),
    )


def _decoded(dataset: Dataset, header: Technical) -> NDArray[np.integer]:
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") or "")
    element = raw_element(dataset, _PIXELS)
    if element is None or not element.value:
        raise _Unfit("no-pixels")
    if not re.fullmatch(r"[0-9.]{1,64}", syntax) or not UID(syntax).is_transfer_syntax:
        raise _Unfit("transfer-syntax")
    try:
        return codecs.decoded(
            element.value, header, syntax=UID(syntax), representation=element.VR or "OW"
        )
    except codecs.CodecMissing as missing:
        raise _Unfit("codec-missing", missing.syntax) from None
    except Exception:  # noqa: BLE001 - as in `read`; the codecs have no common error
        raise _Unfit("undecodable") from None


def _cut(values: NDArray[np.integer], bits: int, *, is_signed: bool) -> NDArray[np.int32]:
    """Keep the stored bits; above them older files hold overlays (PS3.5 section 8.1.1)."""
    wide = values.astype(np.int64) & ((1 << bits) - 1)
    if is_signed:
        wide = np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide)
    if bits == 32 and not is_signed:  # noqa: PLR2004 - the one layout that int32 cannot hold
        raise _Unfit("bit-layout")
    return wide.astype(np.int32)


def _digest(stored: Stored) -> Digest:
    """Name an image by its stored values and what they mean."""
    rows, columns = stored.values.shape
    meaning = (rows, columns, stored.bits, int(stored.is_signed), int(stored.is_inverted))
    scale = f"{stored.slope!r} {stored.intercept!r}"
    content = hashlib.sha256(f"{' '.join(map(str, meaning))} {scale}\n".encode())
    content.update(stored.values.astype("<i4").tobytes())
    return f"sha256:{content.hexdigest()}"
