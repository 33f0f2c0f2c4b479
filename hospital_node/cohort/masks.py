"""Masks meet the images that they are of, or a code says why not.

* A mask that does not fit its image costs both: an image without its mask would teach that nothing
  is there.
* An image that a Segmentation was made of, without a frame of its own, shows no finding; so does
  one of the negative class that has no mask, where the contract allows that.
* A mask of no image that could be used is refused by itself.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

from hospital_node.cohort.labels import Label
from hospital_node.cohort.readings import FileRead, MaskRead
from hospital_node.cohort.selection import Arrival, FrameSource
from hospital_node.cohort.sources import Listing
from schemas.contract import MaskRules
from schemas.names import Digest

__all__ = ["Masks", "with_pictures"]

_APART_MM = 0.1
"""How far from its slice a mask may say that it lies, as exports round places."""


def with_pictures(
    files: Listing, table: Mapping[str, Label], folder: Path
) -> tuple[Listing, Mapping[int, tuple[str, ...]]]:
    """Add the masks that a labels table names below `folder`, and say whose each is.

    A mask among the files already is not added; one that is not there is nobody's.
    """
    named: defaultdict[Path, list[str]] = defaultdict(list)
    for instance, one in table.items():
        if one.mask:
            named[folder.resolve() / one.mask].append(instance)
    if not named:
        return files, {}
    places = {path.parent.resolve() / path.name: place for place, path in enumerate(files)}
    listed, owners = list(files), dict[int, tuple[str, ...]]()
    for path, instances in sorted(named.items()):
        if path not in places:
            if not os.path.lexists(path):
                continue
            places[path] = len(listed)
            listed.append(path)
        owners[places[path]] = tuple(instances)
    return Listing.of(listed), owners


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A mask, the file that it came in, and whose that file says that it is."""

    mask: MaskRead
    file: int
    patient: str


@dataclass(slots=True)
class Masks:
    """The masks that were read so far."""

    rules: MaskRules
    pictures: Mapping[int, tuple[str, ...]]
    """Instances by the place of the PNG that the labels table names for them."""
    files: set[int] = field(default_factory=set)
    _drawn: defaultdict[tuple[str, int], list[_Drawn]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _covering: defaultdict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """Files that were made of an image, each with its patient."""

    def take(self, file: int, read: FileRead) -> None:
        """Take in a file of masks."""
        self.files.add(file)
        for one in read.masks:
            drawn = _Drawn(one, file, read.patient)
            for instance in (one.instance,) if one.instance else self.pictures.get(file, ()):
                self._drawn[instance, one.frame].append(drawn)
        for instance in read.covered:
            self._covering[instance][file] = read.patient

    def joined(self, one: Arrival) -> tuple[Arrival, str]:
        """Return an image with its mask, and the code of what is wrong with it, or nothing."""
        found = [self._drawn.get((each.instance, each.number), []) for each in one.sources]
        covering = {
            file: patient
            for each in one.sources
            for file, patient in self._covering.get(each.instance, {}).items()
        }
        patients = covering | {each.file: each.patient for drawn in found for each in drawn}
        masks = tuple(drawn[0].mask if drawn else None for drawn in found)
        whole = replace(
            one,
            files=(*one.files, *sorted(patients.keys() - set(one.files))),
            masks=masks,
            mask=_named(masks),
        )
        return whole, self._fault(whole, found, set(patients.values()))

    def unused(self, arrivals: Sequence[Arrival]) -> int:
        """Count the files of masks that no image came with."""
        return len(self.files - {file for one in arrivals for file in one.files})

    def _fault(
        self, one: Arrival, found: Sequence[Sequence[_Drawn]], patients: AbstractSet[str]
    ) -> str:
        pairs = [
            (each.mask, source)
            for drawn, source in zip(found, one.sources, strict=True)
            for each in drawn
        ]
        is_marked = any(not mask.is_empty for mask, _ in pairs)
        is_positive = one.label == 1
        faults = {
            "patient-differs": not patients <= {"", one.patient},
            "mask-repeated": any(len({each.mask.mask for each in drawn}) > 1 for drawn in found),
            "mask-size": any(mask.size != source.grid.size for mask, source in pairs),
            "mask-place": any(_is_apart(mask, source) for mask, source in pairs),
            "no-mask": (is_positive or self.rules.needed == "all")
            and any(
                not drawn and source.instance not in self._covering
                for drawn, source in zip(found, one.sources, strict=True)
            ),
            "mask-empty": is_positive and not is_marked and self.rules.empty == "refused",
            "mask-contradicts": is_marked and not is_positive,
        }
        return next((code for code, is_so in faults.items() if is_so), "")


def _is_apart(mask: MaskRead, source: FrameSource) -> bool:
    """Say whether a mask lies in another plane than its slice."""
    if mask.origin is None or source.place is None:
        return False
    pairs = zip(mask.origin, source.place.origin, source.place.normal, strict=True)
    return abs(sum((own - its) * along for own, its, along in pairs)) > _APART_MM


def _named(masks: Sequence[MaskRead | None]) -> Digest | None:
    """Name the mask of an image, or those of a volume's slices in order."""
    if not any(masks):
        return None
    if len(masks) == 1 and masks[0] is not None:
        return masks[0].mask
    listed = " ".join("none" if one is None else one.mask for one in masks)
    return f"sha256:{hashlib.sha256(f'volume {listed}'.encode()).hexdigest()}"
