"""Slices of a series, put in order and held against each other, make one volume or none.

* A volume is whole or not used: a gap, two slices in one place, or slices of different stacks
  refuse all files of the series, since a volume with a hole in it is another patient's anatomy.
* The same slice twice is used once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from hospital_node.cohort.places import Place
from hospital_node.cohort.reasons import Unfit
from hospital_node.cohort.selection import FrameSource
from schemas.image_rules import Volume
from schemas.names import Digest

__all__ = ["Slice", "Stack", "stacked_slices"]

_UNEVEN = 0.1
"""How far a distance between slices may be from the median one, as a share of it."""
_SAME_MM = 1e-3
_ALIKE = 1e-3
"""How far directions and spacings may differ, as exports round them."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: its pixels, where it lies, and the file that it came in."""

    image: Digest
    place: Place
    file: int
    source: FrameSource


@dataclass(frozen=True, slots=True)
class Stack:
    """A whole volume, or an image by itself."""

    image: Digest
    frames: tuple[Digest, ...]
    """The planes in order."""
    sources: tuple[FrameSource, ...]
    spacing_mm: float
    """Between the planes of a volume."""
    files: tuple[int, ...]
    repeated: tuple[int, ...] = ()
    """Files that held nothing but slices that were there already."""


def stacked_slices(slices: Sequence[Slice], rules: Volume) -> Stack:
    """Return the volume of a series."""
    once = {(one.image, one.place.origin): one for one in reversed(slices)}
    kept = sorted(once.values(), key=lambda one: (one.place.height_mm, one.image))
    _refuse_mixed(kept)
    heights = [one.place.height_mm for one in kept]
    steps = [after - before for before, after in pairwise(heights)]
    if any(step < _SAME_MM for step in steps):
        raise Unfit("slice-repeated")
    if not rules.slices.least <= len(kept) <= rules.slices.most or not steps:
        raise Unfit("slice-count")
    usual = median(steps)
    if rules.spacing_mm is not None and not rules.spacing_mm.holds(usual):
        raise Unfit("slice-spacing")
    if any(abs(step - usual) > _UNEVEN * usual for step in steps):
        raise Unfit("slice-gap")
    _refuse_leaning(kept)
    files = {one.file for one in kept}
    return Stack(
        image=_digest(kept, usual),
        frames=tuple(one.image for one in kept),
        sources=tuple(one.source for one in kept),
        spacing_mm=usual,
        files=tuple(sorted(files)),
        repeated=tuple(sorted({one.file for one in slices} - files)),
    )


def _refuse_mixed(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for one in slices:
        numbers = (*one.place.normal, *one.place.spacing_mm)
        wanted = (*first.place.normal, *first.place.spacing_mm)
        far = any(abs(a - b) > _ALIKE for a, b in zip(numbers, wanted, strict=True))
        if far or one.place.size != first.place.size:
            raise Unfit("slices-differ")


def _refuse_leaning(slices: Sequence[Slice]) -> None:
    """Refuse slices that do not lie straight above each other, as of a tilted gantry."""
    first = slices[0].place
    for one in slices:
        risen = one.place.height_mm - first.height_mm
        aside = [
            after - before - risen * along
            for before, after, along in zip(
                first.origin, one.place.origin, first.normal, strict=True
            )
        ]
        if sum(part * part for part in aside) > max(first.spacing_mm) ** 2:
            raise Unfit("slices-differ")


def _digest(slices: Sequence[Slice], spacing_mm: float) -> Digest:
    """Name a volume by its slices in order and what their voxels measure."""
    place = slices[0].place
    measures = (round(spacing_mm, 3), *(round(one, 4) for one in place.spacing_mm))
    content = hashlib.sha256(f"volume {' '.join(map(str, measures))}\n".encode())
    for one in slices:
        content.update(one.image.encode())
    return f"sha256:{content.hexdigest()}"
