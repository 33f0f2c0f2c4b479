"""What was read meets the labels table: images of the cohort to be, or a code for each file.

* Identifiers are compared under the site's key; those of a file are never kept.
* A person's decision opens the quarantine; a patient who withdrew stays out, whatever the source
  still holds.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Self

from hospital_node.cohort import quarantine
from hospital_node.cohort.deidentification import keyed_name, part_of, pseudonym
from hospital_node.cohort.desk import Desk
from hospital_node.cohort.labels import Label
from hospital_node.cohort.masks import Masks
from hospital_node.cohort.readings import FileRead
from hospital_node.cohort.reasons import Unfit
from hospital_node.cohort.selection import Arrival, FrameSource
from hospital_node.cohort.volumes import Slice, Stack, stacked_slices
from hospital_node.cohort.withdrawal import withdrawn
from schemas.contract import DataContract, PartByHash
from schemas.image_rules import Volume
from schemas.manifest import Part, Pseudonym

__all__ = ["Admission", "Known", "KnownLabel"]


@dataclass(frozen=True, slots=True)
class KnownLabel:
    """One row of the labels table under the site's key."""

    instance: str
    """The keyed name of the image's instance, or of the volume's series."""
    patient: Pseudonym
    part: Part
    label: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before the first file is read."""

    contract: DataContract
    desk: Desk
    rows: Mapping[str, KnownLabel]
    """By their instance."""
    decided: Mapping[str, quarantine.Decision]
    withdrawn: AbstractSet[Pseudonym]
    pictures: Mapping[int, tuple[str, ...]]
    """Instances by the place, in the source, of the PNG that the table names for them."""

    @classmethod
    def of(
        cls,
        table: Mapping[str, Label],
        contract: DataContract,
        *,
        desk: Desk,
        pictures: Mapping[int, tuple[str, ...]],
    ) -> Self:
        """Put a labels table under the key, and look up what people decided."""

        def keyed(name: str) -> str:
            return keyed_name(name.encode(), key=desk.key, purpose="instance")

        patients = {one.patient for one in table.values()}
        labels = {one: _renamed(one, contract, key=desk.key) for one in patients}
        rows = {}
        for name, one in table.items():
            patient, part = labels[one.patient]
            row = KnownLabel(keyed(name), patient, one.part or part, one.label)
            rows[row.instance] = row
        return cls(
            contract,
            desk,
            rows,
            quarantine.decisions(desk.store),
            withdrawn(desk.store),
            {place: tuple(map(keyed, names)) for place, names in pictures.items()},
        )

    def picture_owner(self, place: int) -> Pseudonym | None:
        """Return the patient of the PNG that the table names, by its place in the source."""
        names = self.pictures.get(place)
        return None if names is None else self.rows[names[0]].patient


def _renamed(patient: str, contract: DataContract, *, key: bytes) -> tuple[Pseudonym, Part]:
    part: Part = "train"
    if isinstance(contract.cohort.parts, PartByHash):
        fraction = contract.cohort.parts.validation_fraction
        part = part_of(patient, key=key, validation_fraction=fraction)
    return pseudonym(patient, key=key), part


@dataclass(slots=True)
class Admission:
    """What was admitted so far."""

    known: Known
    arrivals: list[Arrival] = field(default_factory=list)
    not_used: Counter[tuple[str, str]] = field(default_factory=Counter)
    risks: Counter[tuple[str, str]] = field(default_factory=Counter)
    unread: set[str] = field(init=False)
    """Labelled instances or series that could not be read so far."""
    refused: list[tuple[str, Arrival]] = field(default_factory=list)
    """Images that do not go with their masks, by code."""
    _masks: Masks | None = None
    _series: defaultdict[KnownLabel, list[Slice]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.unread = set(self.known.rows)
        rules = self.known.contract.labels.mask
        self._masks = None if rules is None else Masks(rules, self.known.pictures)

    def take(self, place: int, name: str, read: FileRead) -> None:
        """Admit one file, by its place in the source, or note why not."""
        try:
            self._admit(place, name, read)
        except Unfit as unfit:
            self.not_used[unfit.reason.code, unfit.reason.detail] += 1

    def close(self) -> None:
        """Make volumes of the slices that were admitted, and join images and masks."""
        rules = self.known.contract.image.frames
        if isinstance(rules, Volume):
            self._stack(rules)
        if self._masks is None:
            return
        joined = [self._masks.joined(one) for one in self.arrivals]
        self.arrivals = [one for one, fault in joined if not fault]
        self.refused = [(fault, one) for one, fault in joined if fault]
        self.not_used["mask-unused", ""] += self._masks.unused([one for one, _ in joined])

    def _stack(self, rules: Volume) -> None:
        for row, slices in self._series.items():
            try:
                stack = stacked_slices(slices, rules)
            except Unfit as unfit:
                files = {one.file for one in slices}
                self.not_used[unfit.reason.code, unfit.reason.detail] += len(files)
                continue
            self.not_used["duplicate", ""] += len(stack.repeated)
            self._arrive(row, 0, stack)

    def _admit(self, place: int, name: str, read: FileRead) -> None:
        if read.code:
            raise Unfit(read.code, read.detail)
        if read.is_outlines:
            if self._masks is not None:
                self._masks.take(place, read)
            return
        self._review(name, read)
        is_volume = isinstance(self.known.contract.image.frames, Volume)
        own = read.series if is_volume else read.instance
        if not own:
            raise Unfit("no-place")
        row = self.known.rows.get(own)
        if row is None:
            raise Unfit("no-label")
        self.unread.discard(own)
        if row.patient in self.known.withdrawn:
            raise Unfit("withdrawn")
        if read.patient and read.patient != row.patient:
            raise Unfit("patient-differs")
        for frame in read.frames:
            source = FrameSource(read.instance, frame.number, frame.grid, frame.place)
            if frame.place is not None:
                self._series[row].append(Slice(frame.image, frame.place, place, source))
            else:
                single = Stack(frame.image, (frame.image,), (source,), 1.0, (place,))
                self._arrive(row, frame.number, single)

    def _review(self, name: str, read: FileRead) -> None:
        """Hold the signs of burned-in text against the contract and a person's decision."""
        contract = self.known.contract
        grave = [one for one in read.risks if contract.severity(one) != "warn"]
        decision = self.known.decided.get(name)
        if grave and (decision is None or not decision.covers(read.risks)):
            raise Unfit(grave[0])
        if grave and decision is not None and decision.verdict == "refuse":
            raise Unfit("review-refused")
        self.risks.update((risk, "") for risk in read.risks if risk not in grave)

    def _arrive(self, row: KnownLabel, number: int, made: Stack) -> None:
        self.arrivals.append(
            Arrival(
                made.image,
                row.patient,
                row.part,
                row.label,
                len(self.arrivals),
                row.instance,
                number,
                made.files,
                made.frames,
                made.sources if self._masks is not None else (),
                made.spacing_mm,
            )
        )
