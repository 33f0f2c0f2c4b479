"""A federation's home, read as it grows, whoever owns it.

* Nothing is written and nothing is locked: a run that is led meanwhile does not notice.
* A line of the journal is parsed once. A log that was cut, or that does not fit its head, is read
  anew before anything is said of it.
"""

from dataclasses import dataclass, field
from pathlib import Path

from aggregator.audit.records import ReportFacts
from aggregator.config import AggregatorHome, load_config
from aggregator.federation import installed_code, stored_roster
from aggregator.tls import shown_certificates
from schemas.audit.events import AuditEvent
from schemas.audit.lines import EVENTS, event_of, whole_lines
from schemas.audit.merkle import Frontier, leaf_hash
from schemas.audit.notes import TreeHead, aggregator_origin, verified_head
from schemas.contract import DataContract
from schemas.enrolment import Roster
from schemas.errors import JournalDamaged, OtherVersion
from schemas.names import Name, now
from schemas.plan import TrainingPlan
from schemas.software import VERSION


@dataclass(slots=True)
class Tail:
    """The journal as far as it was read."""

    folder: Path
    events: list[AuditEvent] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    unread: int = 0
    """Events of another version of this software."""
    _end: int = 0
    _covered: Frontier = field(default_factory=Frontier)

    def grow(self) -> None:
        """Read what was appended."""
        path = self.folder / EVENTS
        if not path.exists() or path.stat().st_size < self._end:
            self.forget()
        for line in whole_lines(self.folder, start=self._end):
            self._end += len(line) + 1
            self.leaves.append(leaf_hash(line))
            try:
                self.events.append(event_of(line))
            except (OtherVersion, JournalDamaged):
                self.unread += 1

    def forget(self) -> None:
        """Begin anew."""
        self.events, self.leaves, self.unread = [], [], 0
        self._end, self._covered = 0, Frontier()

    def fits(self, head: TreeHead) -> bool:
        """Say whether the first events are those of a head."""
        if head.size < self._covered.size:
            self._covered = Frontier()
        for leaf in self.leaves[self._covered.size : head.size]:
            self._covered = self._covered.appended(leaf)
        return (self._covered.size, self._covered.root()) == (head.size, head.root)


@dataclass(frozen=True, slots=True)
class Live:
    """A home that is only read."""

    home: AggregatorHome
    tail: Tail

    @classmethod
    def of(cls, root: Path) -> "Live":
        """Begin to read a home.

        Raises:
            HomeRefused: not an aggregator's home.
        """
        home = AggregatorHome(root)
        load_config(home)
        return cls(home, Tail(home.journal))

    def marks(self) -> tuple[float, ...]:
        """Return what differs once there is something new to show."""
        watched = (self.home.journal / EVENTS, self.home.journal / "head", self.home.roster)
        folders = sorted(self.home.witnesses.glob("*")) if self.home.witnesses.is_dir() else []
        found = [path.stat() for path in (*watched, *folders[-2:]) if path.exists()]
        return tuple(one for each in found for one in (each.st_mtime, each.st_size))

    def roster(self) -> Roster:
        """Return the members, verified under the root key."""
        return stored_roster(self.home)

    def head(self) -> TreeHead:
        """Return the journal's signed head, after the journal was read as far as it reaches.

        Raises:
            JournalDamaged: it is not the aggregator's, or the journal does not fit it.
        """
        head = verified_head(self.note(), origin=self.origin(), key=self.roster().signers)
        self.tail.grow()
        if not self.tail.fits(head):
            self.tail.forget()
            self.tail.grow()
            if not self.tail.fits(head):
                raise JournalDamaged(
                    "journal refused: its events are not those of its signed head",
                    next_step="hold it: aggregator audit verify --home DIR",
                )
        return head

    def note(self) -> str:
        """Return the signed head as it is stored."""
        return (self.home.journal / "head").read_text(encoding="utf-8", errors="replace")

    def origin(self) -> str:
        """Name the journal."""
        return aggregator_origin(load_config(self.home).federation)

    def plan(self, run: Name) -> TrainingPlan:
        """Return a run's plan."""
        content = (self.home.runs / run / "plan.json").read_bytes()
        return TrainingPlan.from_stored(content, what="the run's plan")

    def facts(self, run: Name) -> ReportFacts:
        """Return what a report needs and events do not hold."""
        content = (self.home.runs / run / "contract.json").read_bytes()
        return ReportFacts(
            federation=load_config(self.home).federation,
            key=self.roster().aggregator,
            head=self.note(),
            contract=DataContract.from_stored(content, what="the run's contract"),
            certificates=shown_certificates(self.home.tls),
            software=VERSION,
            code=installed_code(),
            generated=now(),
        )

    def report(self, run: Name) -> Path | None:
        """Return where a run's written report stands; None while there is none."""
        path = self.home.reports / run / "report.html"
        return path if path.exists() else None
