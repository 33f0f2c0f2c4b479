"""Which of the images that were read stand in the cohort.

* The choice does not depend on the order in which files come.
* One SOP instance UID with two images, or one image under two patients, labels or masks, tells
  that something is wrong: all of them are refused. The same image twice of the same patient is used
  once.
* Of a patient with too many images, the first in the order of image digests are used.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hospital_node.cohort.grids import Grid
from hospital_node.cohort.places import Place
from hospital_node.cohort.readings import MaskRead
from schemas.manifest import ImageRow, Part, Pseudonym
from schemas.names import Digest

__all__ = ["Arrival", "FrameSource", "Selection", "selected"]


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Where a frame comes from, which is what a mask of it must fit."""

    instance: str = field(repr=False)
    """Its file's, under the site's key."""
    number: int
    """In its file, from 1."""
    grid: Grid
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An image with its label, and where its pixels wait.

    A cohort has as many as images, so what takes room here takes it a hundred thousand times.
    """

    image: Digest
    patient: Pseudonym
    part: Part
    label: int
    position: int
    """In the order of arrival; unique."""
    instance: str = field(repr=False)
    """Names, with the number, the frame or series that it is, whatever its pixels."""
    number: int = 0
    """Of the frame in its file; 0 for a volume."""
    files: tuple[int, ...] = ()
    """The files that it was made of, by their place in the source."""
    frames: tuple[Digest, ...] = ()
    """The planes that it is made of, in order."""
    sources: tuple[FrameSource, ...] = ()
    """Where each of them comes from."""
    spacing_mm: float = 1.0
    """Between the planes of a volume."""
    masks: tuple[MaskRead | None, ...] = ()
    """Of each plane; None: it shows no finding."""
    mask: Digest | None = None
    """Names all of them."""

    @property
    def row(self) -> ImageRow:
        """Return its row of the manifest.

        What has its default is not named: a record keeps which fields were, and more than four
        take twice the room of the row.
        """
        named: dict[str, Any] = {}
        if len(self.files) != 1:
            named["files"] = len(self.files)
        if self.mask is not None:
            named["mask"] = self.mask
        return ImageRow(
            image=self.image, patient=self.patient, part=self.part, label=self.label, **named
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """The images of the cohort by digest, and those left out, each under its code."""

    used: tuple[Arrival, ...]
    refused: tuple[tuple[str, Arrival], ...]


def selected(arrivals: Sequence[Arrival], *, max_images_per_patient: int) -> Selection:
    """Choose the images of the cohort."""
    refused: list[tuple[str, Arrival]] = []
    kept = list(arrivals)
    for code, leave in (
        ("instance-repeated", _ambiguous),
        ("duplicate-contradicts", _contradicting),
        ("duplicate", _repeated),
    ):
        kept = _without(kept, leave(kept), code, refused)
    kept.sort(key=_image)
    over = (one for group in _grouped(kept, _patient) for one in group[max_images_per_patient:])
    kept = _without(kept, over, "over-patient-limit", refused)
    return Selection(tuple(kept), tuple(refused))


def _without(
    kept: Sequence[Arrival], leave: Iterable[Arrival], code: str, refused: list[tuple[str, Arrival]]
) -> list[Arrival]:
    left = {one.position for one in leave}
    refused.extend((code, one) for one in kept if one.position in left)
    return [one for one in kept if one.position not in left]


def _ambiguous(arrivals: Sequence[Arrival]) -> Iterable[Arrival]:
    for group in _grouped(arrivals, lambda one: (one.instance, one.number)):
        if len({one.image for one in group}) > 1:
            yield from group


def _contradicting(arrivals: Sequence[Arrival]) -> Iterable[Arrival]:
    for group in _grouped(arrivals, _image):
        if len({(one.patient, one.label, one.mask) for one in group}) > 1:
            yield from group


def _repeated(arrivals: Sequence[Arrival]) -> Iterable[Arrival]:
    for group in _grouped(arrivals, _image):
        yield from group[1:]


def _image(one: Arrival) -> str:
    return one.image


def _patient(one: Arrival) -> str:
    return one.patient


def _grouped(
    arrivals: Sequence[Arrival], key: Callable[[Arrival], Hashable]
) -> Iterable[list[Arrival]]:
    groups: defaultdict[Hashable, list[Arrival]] = defaultdict(list)
    for one in arrivals:
        groups[key(one)].append(one)
    return groups.values()
