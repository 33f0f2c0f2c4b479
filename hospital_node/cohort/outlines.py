"""One file of masks, a PNG or a DICOM Segmentation, becomes outlines or a coded reason why not.

* Read of a Segmentation: the pixels of the contract's segment, which image each frame is of, which
  images the object is of, where a plane lies, and the patient to compare. Nothing else is decoded.
* The pixels that a header announces are bounded before memory is asked for.
* A frame that does not name exactly one image is refused: where it lies would be a guess.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from hospital_node.cohort.deidentification import ALLOWED, PLACE, SEGMENT, Technical, technical
from hospital_node.cohort.header_checks import MAX_PIXELS
from hospital_node.cohort.parsing import attempted, parsed, refuse_unread
from hospital_node.cohort.pixels import PIXELS, decoded_frames
from hospital_node.cohort.places import GROUP_TAGS, Vector, items, position
from hospital_node.cohort.reasons import NotUsed, Unfit
from schemas.contract import MaskRules
from schemas.names import Digest

__all__ = ["Outline", "Outlines", "is_outlines", "read_outlines"]


@dataclass(frozen=True, slots=True)
class Outline:
    """One mask, as it is stored."""

    digest: Digest
    pixels: NDArray[np.bool_]
    """[rows, columns]."""
    instance: str = ""
    """The image that it is of; empty for a PNG, which the labels table gives to an image."""
    frame: int = 1
    """Of that image's file, from 1."""
    origin: Vector | None = None
    """Where its first pixel lies, if that is said."""


@dataclass(frozen=True, slots=True)
class Outlines:
    """What may be used of a file of masks; patient and UIDs are its own, never stored."""

    content: bytes
    """SHA-256 of the file."""
    masks: tuple[Outline, ...]
    patient: str = ""
    series: str = ""
    """That a Segmentation was made of."""
    covered: tuple[str, ...] = ()
    """Images that a Segmentation was made of: one without a mask shows no finding."""


def is_outlines(path: Path) -> bool:
    """Say whether a file begins as a PNG or a DICOM Segmentation does."""
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(_META_BYTES)
    except OSError:
        return False
    return start.startswith(_PNG) or _SEGMENTATION.search(start) is not None


_PNG = b"\x89PNG\r\n\x1a\n"
_META_BYTES = 2**11
_SEGMENTATION = re.compile(
    rb"\x02\x00\x02\x00UI..1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[47]\0*\x02\x00", re.DOTALL
)
"""Media Storage SOP Class UID of Segmentation or Label Map Segmentation Storage (PS3.4 B.5)."""


def read_outlines(path: Path, rules: MaskRules) -> Outlines | NotUsed:
    """Read one file of masks."""
    return attempted(lambda: _read(path, rules))


def _read(path: Path, rules: MaskRules) -> Outlines:
    refuse_unread(path)
    with path.open("rb") as file:
        is_picture = file.read(len(_PNG)) == _PNG
    return _of_picture(path.read_bytes(), rules) if is_picture else _of_segmentation(path, rules)


def _of_picture(content: bytes, rules: MaskRules) -> Outlines:
    """Read a grey PNG, or the indexes of one with a palette."""
    # Its header chunk comes first (PNG, third edition, section 11.2.1).
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    if width * height > MAX_PIXELS:
        raise Unfit("too-many-pixels")
    with Picture.open(BytesIO(content), formats=("PNG",)) as picture:
        if picture.mode not in _MODES or getattr(picture, "n_frames", 1) != 1:
            raise Unfit("mask-value")
        values = np.asarray(picture).astype(np.int32)
    marked = np.isin(values, rules.values)
    if not (marked | (values == 0)).all():
        raise Unfit("mask-value")
    return Outlines(hashlib.sha256(content).digest(), (Outline(_digest(marked), marked),))


_MODES = {"1", "I", "I;16", "L", "P"}


def _of_segmentation(path: Path, rules: MaskRules) -> Outlines:
    file = parsed(path, tags=_TAGS, judge=lambda dataset: _bounded(technical(dataset, _KEYWORDS)))
    dataset = file.dataset
    header = technical(dataset, _KEYWORDS)
    _bounded(header)
    numbers = {one.get("SegmentNumber") for one in items(dataset, _SEGMENTS)}
    if rules.segment not in numbers:
        raise Unfit("mask-segment")
    referenced = items(dataset, _REFERENCED_SERIES)
    return Outlines(
        content=file.digest,
        masks=tuple(_outlined(dataset, header, rules)),
        patient=str(dataset.get("PatientID") or "").strip(),
        series=str(referenced[0].get("SeriesInstanceUID") or "").strip() if referenced else "",
        covered=tuple(
            _instance(one) for series in referenced for one in items(series, _REFERENCED_INSTANCES)
        ),
    )


def _tag(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


_KEYWORDS = (*ALLOWED, *SEGMENT)
_SEGMENTS = _tag("SegmentSequence")
_REFERENCED_SERIES = _tag("ReferencedSeriesSequence")
_REFERENCED_INSTANCES = _tag("ReferencedInstanceSequence")
_IDENTIFICATION = _tag("SegmentIdentificationSequence")
_DERIVATION = _tag("DerivationImageSequence")
_SOURCE = _tag("SourceImageSequence")
_POSITION = _tag("PlanePositionSequence")
_TAGS = [
    *(_tag(one) for one in _KEYWORDS),
    *(_tag("PatientID"), PIXELS, _SEGMENTS, _REFERENCED_SERIES, *GROUP_TAGS),
]


def _bounded(header: Technical) -> None:
    """Refuse pixels that are not a Segmentation's, or too many."""
    needed = {"Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation"}
    if not needed <= header.keys() or header.get("SegmentationType") not in _TYPES:
        raise Unfit("no-pixels")
    frames = int(header.get("NumberOfFrames", "1"))
    pixels = int(header["Rows"]) * int(header["Columns"]) * frames
    if not 1 <= frames <= MAX_PIXELS or pixels > MAX_PIXELS:
        raise Unfit("too-many-pixels")
    if header["BitsAllocated"] not in {"1", "8", "16"} or header.get("SamplesPerPixel") != "1":
        raise Unfit("bit-layout")


_TYPES = {"BINARY", "FRACTIONAL", "LABELMAP"}


def _outlined(dataset: Dataset, header: Technical, rules: MaskRules) -> Iterator[Outline]:
    """Yield the masks of the wanted segment."""
    frames = int(header.get("NumberOfFrames", "1"))
    shared, own = items(dataset, GROUP_TAGS[0])[:1], items(dataset, GROUP_TAGS[1])
    if len(own) != frames:
        raise Unfit("mask-unplaced")
    for values, item in zip(decoded_frames(dataset, [header] * frames), own, strict=True):
        groups = [item, *shared]
        kind = header["SegmentationType"]
        if kind != "LABELMAP" and _segment(groups) != rules.segment:
            continue
        if kind == "LABELMAP":
            marked = values == rules.segment
        else:
            full = int(header.get("MaximumFractionalValue", "1")) if kind == "FRACTIONAL" else 1
            marked = values == full
            if not (marked | (values == 0)).all():
                raise Unfit("mask-value")
        instance, frame = _source(groups)
        yield Outline(_digest(marked), marked, instance, frame, _origin(groups))


def _segment(groups: Sequence[Dataset]) -> int:
    for inner in _inner(groups, _IDENTIFICATION):
        return int(technical(inner, SEGMENT).get("ReferencedSegmentNumber", "0"))
    return 0


def _source(groups: Sequence[Dataset]) -> tuple[str, int]:
    """Return the image that a frame is of."""
    derived = _inner(groups, _DERIVATION)
    sources = [one for inner in derived for one in items(inner, _SOURCE)]
    if len(sources) != 1 or not (instance := _instance(sources[0])):
        raise Unfit("mask-unplaced")
    number = sources[0].get("ReferencedFrameNumber") or 1
    if not isinstance(number, int):  # several frames
        raise Unfit("mask-unplaced")
    return instance, int(number)


def _origin(groups: Sequence[Dataset]) -> Vector | None:
    for inner in _inner(groups, _POSITION):
        return position(technical(inner, PLACE))
    return None


def _inner(groups: Sequence[Dataset], tag: int) -> list[Dataset]:
    """Return the items of a functional group, the frame's own before the shared one."""
    return next((found for one in groups if (found := items(one, tag))), [])


def _instance(item: Dataset) -> str:
    return str(item.get("ReferencedSOPInstanceUID") or "").strip()


def _digest(marked: NDArray[np.bool_]) -> Digest:
    """Name a mask by its size and its pixels."""
    rows, columns = marked.shape
    content = hashlib.sha256(f"mask {rows} {columns}\n".encode())
    content.update(np.packbits(marked).data)
    return f"sha256:{content.hexdigest()}"
