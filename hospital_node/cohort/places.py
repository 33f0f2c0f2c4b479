"""Where a slice lies in the patient, and how it is turned to the contract's view.

* Coordinates are DICOM's: x to the patient's left, y to the back, z to the head, in millimetres
  (PS3.3 section C.7.6.2.1.1).
* A plane is axial, coronal or sagittal when its normal is within about 25 degrees of that axis;
  nothing is resampled to make it so.
* Frames of one file have their own places, from the functional groups of enhanced objects
  (PS3.3 section C.7.6.16), from a grid of offsets, or from an even distance.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from hospital_node.cohort.deidentification import ALLOWED, PLACE, WINDOW, Technical, technical
from hospital_node.cohort.grids import Turn
from hospital_node.cohort.reasons import Unfit
from hospital_node.cohort.transforms import Stored

__all__ = [
    "GROUP_TAGS",
    "Place",
    "Vector",
    "frame_headers",
    "items",
    "pixel_spacing",
    "position",
    "turned",
]

Vector: TypeAlias = tuple[float, float, float]

GROUP_TAGS = (0x52009229, 0x52009230)
"""Shared and Per-frame Functional Groups Sequence."""
_GROUPS = (
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "PlaneOrientationSequence",
    "PlanePositionSequence",
)
_FARTHEST_MM, _WIDEST_MM = 1e5, 1e3
"""Beyond them a number is no place or distance of a scanner, and may be somebody's."""
_NEAR = 0.9
"""Least cosine between an axis and the direction that is taken for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A slice after it was turned: its first pixel, its normal, and what its pixels measure."""

    origin: Vector
    normal: Vector
    spacing_mm: tuple[float, float]
    """Between rows, between columns."""
    size: tuple[int, int]
    """Rows and columns, as they were stored."""

    @property
    def height_mm(self) -> float:
        """How far along its normal it lies."""
        return _dot(self.origin, self.normal)


@dataclass(frozen=True, slots=True)
class _View:
    """Directions of a plane's columns, rows and slices: an axis and a sign each."""

    across: tuple[int, int]
    down: tuple[int, int]
    along: tuple[int, int]


_VIEWS: Mapping[str, _View] = MappingProxyType(
    {
        "axial": _View(across=(0, 1), down=(1, 1), along=(2, 1)),
        "coronal": _View(across=(0, 1), down=(2, -1), along=(1, 1)),
        "sagittal": _View(across=(1, 1), down=(2, -1), along=(0, 1)),
    }
)


def frame_headers(dataset: Dataset, header: Technical, *, groups: bool) -> tuple[Technical, ...]:
    """Return one header for each frame; `groups` says whether functional groups are needed."""
    frames = int(header.get("NumberOfFrames", "1"))
    if frames == 1 and not groups:
        return (header,)
    shared = _grouped(items(dataset, GROUP_TAGS[0])[:1]) if groups else {}
    own = items(dataset, GROUP_TAGS[1]) if groups else []
    if own and len(own) != frames:
        raise Unfit("no-place")
    merged = [{**header, **shared, **_grouped([item])} for item in own] or [
        {**header, **shared}
    ] * frames
    return tuple(MappingProxyType(one) for one in _spread(merged))


def _spread(headers: Sequence[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Give frames without a position of their own one each, from offsets or an even distance."""
    first = headers[0]
    same = all(
        one.get("ImagePositionPatient") == first.get("ImagePositionPatient") for one in headers
    )
    if len(headers) == 1 or not same or "ImagePositionPatient" not in first:
        yield from (dict(one) for one in headers)
        return
    offsets = _numbers(first.get("GridFrameOffsetVector", ""))
    if len(offsets) != len(headers):
        step = _numbers(first.get("SpacingBetweenSlices", ""))
        offsets = [index * step[0] for index in range(len(headers))] if step else []
    if not offsets or "ImageOrientationPatient" not in first:
        yield from (dict(one) for one in headers)
        return
    origin, (across, down) = position(first), _directions(first)
    normal = _cross(across, down)
    for one, offset in zip(headers, offsets, strict=True):
        moved = _moved(origin, normal, offset)
        yield {**one, "ImagePositionPatient": "\\".join(map(repr, moved))}


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """Return the items of a sequence; none where it is absent."""
    return list(dataset[tag].value) if tag in dataset else []


def _grouped(groups: Iterable[Dataset]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in groups:
        for keyword in _GROUPS:
            for inner in items(item, tag_for_keyword(keyword) or 0)[:1]:
                found |= technical(inner, [*_IN_GROUPS])
    return found


_IN_GROUPS = (*PLACE, *WINDOW, *(one for one in ALLOWED if one.startswith("Rescale")))


def pixel_spacing(header: Technical) -> tuple[float, float]:
    """Return the distance between rows and between columns, in millimetres."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        match _numbers(header.get(keyword, "")):
            case [rows, columns] if 0 < rows <= _WIDEST_MM and 0 < columns <= _WIDEST_MM:
                return rows, columns
    raise Unfit("no-spacing")


def turned(
    stored: Stored, header: Technical, *, plane: Literal["axial", "coronal", "sagittal"]
) -> tuple[Stored, Place, Turn]:
    """Return a slice as the view shows it, its place, and how it was turned."""
    view = _VIEWS[plane]
    (rows_mm, columns_mm), origin = pixel_spacing(header), position(header)
    across, down = _directions(header)
    normal = _cross(across, down)
    if abs(normal[view.along[0]]) < _NEAR:
        raise Unfit("orientation")
    values = stored.values
    size = (values.shape[0], values.shape[1])
    is_swapped = abs(across[view.across[0]]) < abs(down[view.across[0]])
    if is_swapped:
        values = np.swapaxes(values, 0, 1)
        across, down, rows_mm, columns_mm = down, across, columns_mm, rows_mm
    is_across = across[view.across[0]] * view.across[1] < 0
    if is_across:
        origin = _moved(origin, across, (values.shape[1] - 1) * columns_mm)
        values = values[:, ::-1]
    is_down = down[view.down[0]] * view.down[1] < 0
    if is_down:
        origin = _moved(origin, down, (values.shape[0] - 1) * rows_mm)
        values = values[::-1]
    sign = 1.0 if normal[view.along[0]] * view.along[1] > 0 else -1.0
    upward = (sign * normal[0], sign * normal[1], sign * normal[2])
    place = Place(origin, upward, (rows_mm, columns_mm), size)
    return (
        replace(stored, values=np.ascontiguousarray(values)),
        place,
        (is_swapped, is_down, is_across),
    )


def position(header: Technical) -> Vector:
    """Return where the first pixel of a plane lies, in millimetres."""
    match _numbers(header.get("ImagePositionPatient", "")):
        case [x, y, z] if max(abs(x), abs(y), abs(z)) <= _FARTHEST_MM:
            return x, y, z
    raise Unfit("no-place")


def _directions(header: Technical) -> tuple[Vector, Vector]:
    match _numbers(header.get("ImageOrientationPatient", "")):
        case [a, b, c, d, e, f]:
            across, down = (a, b, c), (d, e, f)
            if all(abs(_dot(one, one) - 1) < _TOLERANCE for one in (across, down)) and (
                abs(_dot(across, down)) < _TOLERANCE
            ):
                return across, down
    raise Unfit("no-place")


_TOLERANCE = 1e-2
"""Of unit length and right angles: exports round direction cosines."""


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split("\\")] if text else []


def _dot(one: Vector, other: Vector) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _cross(one: Vector, other: Vector) -> Vector:
    return (
        one[1] * other[2] - one[2] * other[1],
        one[2] * other[0] - one[0] * other[2],
        one[0] * other[1] - one[1] * other[0],
    )


def _moved(start: Vector, direction: Vector, distance: float) -> Vector:
    return (
        start[0] + distance * direction[0],
        start[1] + distance * direction[1],
        start[2] + distance * direction[2],
    )
