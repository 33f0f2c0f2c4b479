"""One DICOM file becomes one image or more at the recipe's size, or a coded reason why not.

* The outcome is a function of the file's bytes and the contract; it names no file, and no text of
  the file or of the codec's complaint is in it.
* Cheap claims come first: the header is judged before pixels are decoded, and the pixels that it
  announces are bounded before memory is asked for.
* Only listed attributes are parsed; the codecs get numbers from the header and the pixel bytes,
  nothing else.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from hospital_node.cohort.deidentification import (
    ALLOWED,
    OVERLAY_TAGS,
    PLACE,
    REGION_TAG,
    VIEW,
    WINDOW,
    Technical,
    technical,
)
from hospital_node.cohort.grids import NOT_TURNED, Grid
from hospital_node.cohort.header_checks import judged
from hospital_node.cohort.ocr import has_text
from hospital_node.cohort.parsing import attempted, parsed
from hospital_node.cohort.pictures import page
from hospital_node.cohort.pixels import PALETTE_TAGS, PIXELS, stored_frames
from hospital_node.cohort.places import GROUP_TAGS, Place, frame_headers, pixel_spacing, turned
from hospital_node.cohort.reasons import NotUsed, Unfit
from hospital_node.cohort.tables import MODALITY_TABLE, SHOWN_TABLE
from hospital_node.cohort.transforms import Plane, Stored, resized
from schemas.contract import DataContract
from schemas.image_rules import SingleFrame, Volume
from schemas.names import Digest
from schemas.recipe import OwnWindow, StoredBits, Window

__all__ = ["Frame", "Image", "read"]

_IDENTITY = (0x00080018, 0x00100020, 0x0020000E)
"""SOP Instance UID, Patient ID and Series Instance UID: they stay in memory."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a file."""

    number: int
    """In its file, from 1."""
    digest: Digest
    """Of the stored values, whatever their compression."""
    plane: Plane
    """At the recipe's size, not yet normalised."""
    grid: Grid
    """What a mask of it needs."""
    place: Place | None = None
    """Where it lies, if the contract asks for volumes."""


@dataclass(frozen=True, slots=True)
class Image:
    """What may be used of a file; `instance`, `patient` and `series` are its own, never stored."""

    content: bytes
    """SHA-256 of the file."""
    instance: str
    patient: str
    series: str
    frames: tuple[Frame, ...]
    risks: tuple[str, ...] = ()
    """Signs of burned-in text."""
    pages: tuple[bytes, ...] = ()
    """A PNG of each frame, where the contract wants a person to look at such images."""


def read(path: Path, contract: DataContract) -> Image | NotUsed:
    """Read one file."""
    return attempted(lambda: _read(path, contract))


def _read(path: Path, contract: DataContract) -> Image:
    keywords = _keywords(contract)
    file = parsed(
        path,
        tags=_tags(keywords, contract),
        judge=lambda dataset: judged(dataset, technical(dataset, keywords), contract),
    )
    dataset = file.dataset
    header = technical(dataset, keywords)
    risks = judged(dataset, header, contract)
    if PIXELS not in dataset:
        raise Unfit("no-pixels")
    headers = frame_headers(dataset, header, groups=_needs_groups(contract))
    searched = contract.deidentification.ocr == "tesseract"
    is_asked = contract.must_be_seen(risks)
    frames, pages = [], []
    for stored, frame in _frames(dataset, headers, contract):
        frames.append(frame)
        if searched or is_asked:
            pages.append(page(stored))
    if searched and any(has_text(one) for one in pages):
        risks = (*risks, "text-found")
    if not frames:
        raise Unfit("blank")
    return Image(
        content=file.digest,
        instance=_identifier(dataset, "SOPInstanceUID"),
        patient=_identifier(dataset, "PatientID"),
        series=_identifier(dataset, "SeriesInstanceUID"),
        frames=tuple(frames),
        risks=risks,
        pages=tuple(pages) if contract.must_be_seen(risks) else (),
    )


def _keywords(contract: DataContract) -> tuple[str, ...]:
    """Return the attributes that this contract needs."""
    places = _asks_where(contract)
    window = isinstance(contract.preprocessing.intensity, OwnWindow)
    rules = contract.image
    views = bool(rules.views or rules.lateralities or rules.body_parts)
    return (
        *ALLOWED,
        *(PLACE if places else ()),
        *(WINDOW if window else ()),
        *(VIEW if views else ()),
    )


def _asks_where(contract: DataContract) -> bool:
    rules = (contract.preprocessing.spacing_mm, contract.image.spacing_mm)
    return rules != (None, None) or isinstance(contract.image.frames, Volume)


def _needs_groups(contract: DataContract) -> bool:
    """Say whether the contract looks into functional groups, where enhanced objects keep these."""
    return not isinstance(contract.image.frames, SingleFrame) or _asks_where(contract)


def _tags(keywords: tuple[str, ...], contract: DataContract) -> list[int]:
    rules = contract.image
    asked = (*rules.required_attributes, *rules.forbidden_attributes)
    named = [tag for keyword in (*keywords, *asked) if (tag := tag_for_keyword(keyword))]
    fixed = [*OVERLAY_TAGS, *_IDENTITY, *_tables(contract), *PALETTE_TAGS, REGION_TAG, PIXELS]
    return [*named, *fixed, *(GROUP_TAGS if _needs_groups(contract) else ())]


def _tables(contract: DataContract) -> tuple[int, ...]:
    """Return the look-up tables that the recipe goes through, where a file has them."""
    match contract.preprocessing.intensity:
        case Window():
            return (MODALITY_TABLE,)
        case OwnWindow():
            return (MODALITY_TABLE, SHOWN_TABLE)
        case StoredBits():
            return ()
        case _:
            assert_never(contract.preprocessing.intensity)


def _frames(
    dataset: Dataset, headers: Sequence[Technical], contract: DataContract
) -> Iterator[tuple[Stored, Frame]]:
    """Yield the frames that show something; of a volume all, as air belongs to it."""
    decoded = stored_frames(dataset, headers, tables=_tables(contract))
    counted = enumerate(zip(decoded, headers, strict=True), start=1)
    for number, (stored, header) in counted:
        view, place, turn = stored, None, NOT_TURNED
        if isinstance(contract.image.frames, Volume):
            view, place, turn = turned(stored, header, plane=contract.image.frames.plane)
        elif stored.values.min() == stored.values.max():
            continue
        spacing = place.spacing_mm if place else _spacing(header, contract)
        _refuse_spacing(spacing, contract)
        shown = resized(view, contract.preprocessing, spacing_mm=spacing)
        grid = Grid((stored.values.shape[0], stored.values.shape[1]), spacing, turn)
        yield stored, Frame(number, _digest(view), shown, grid, place)


def _spacing(header: Technical, contract: DataContract) -> tuple[float, float] | None:
    rules = (contract.preprocessing.spacing_mm, contract.image.spacing_mm)
    return None if rules == (None, None) else pixel_spacing(header)


def _refuse_spacing(spacing: tuple[float, float] | None, contract: DataContract) -> None:
    allowed = contract.image.spacing_mm
    if allowed is not None and spacing is not None and not all(map(allowed.holds, spacing)):
        raise Unfit("spacing")


def _identifier(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip()


def _digest(stored: Stored) -> Digest:
    """Name an image by its stored values and what they mean."""
    meaning = (*stored.values.shape, stored.bits, int(stored.is_signed), int(stored.is_inverted))
    scale = f"{stored.slope!r} {stored.intercept!r}"
    if stored.window is not None:
        scale += f" {stored.window!r}"
    for what, table in (("units", stored.units), ("shown", stored.shown)):
        scale += f" {what} {table}" if table is not None else ""
    content = hashlib.sha256(f"{' '.join(map(str, meaning))} {scale}\n".encode())
    kind = "<i4" if stored.values.dtype == np.int32 else "<u4"
    content.update(np.ascontiguousarray(stored.values, dtype=kind).data)
    return f"sha256:{content.hexdigest()}"
