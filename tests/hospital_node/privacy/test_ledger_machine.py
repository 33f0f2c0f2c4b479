"""No sequence of what can happen to a ledger lowers a spend or trains over the cap.

A machine of Hypothesis plays a hospital that charges, trains, commits, voids, crashes between any
two lines, is asked again, works on overlapping cohorts, and has its ledger's file put back. What it
trained on is counted beside the ledger, by dp-accounting alone.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hospital_node.privacy.consistency import hold_ledger
from hospital_node.privacy.ledger import Entry, Ledger, create
from schemas import accounting
from schemas.audit.events import Facts, ReplySent, Reserved, Settled
from schemas.errors import BudgetExceeded, EnvelopeRefused, LedgerDamaged
from schemas.manifest import Part
from schemas.privacy import SampledGaussian
from tests.hospital_node.privacy.accounts import DELTA, DIGEST, ROUND, entry

PARTS: tuple[Part, ...] = ("train", "validation")
SMALL = SampledGaussian(sampling_rate=0.25, noise_multiplier=4.0, steps=3)
CAP = accounting.epsilon_rdp([ROUND] * 3, delta=DELTA)
NAMES = st.sampled_from([f"r{number}" for number in range(8)])


def epsilon(entries: list[Entry], part: Part) -> float:
    events = [one.event for one in entries if one.part == part]
    return accounting.epsilon_rdp(events, delta=DELTA)


class Hospital(RuleBasedStateMachine):
    """A ledger's file, a journal, and what was really done with patients."""

    @initialize()
    def make(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="consilium-ledger-"))
        self.path = self.folder / "ledger.sqlite"
        create(self.path)
        self.ledger = Ledger(self.path)
        self.journal: list[Facts] = []
        self.trained: dict[str, Entry] = {}
        self.left: set[str] = set()
        self.backups: list[bytes] = []
        self.newest: bytes | None = None
        """The last ledger that the hospital itself wrote, while an older one is in its place."""

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    def is_whole(self) -> bool:
        """Hold the ledger against the journal, as a session does before it charges."""
        try:
            hold_ledger(self.ledger.rows(), self.journal)
        except LedgerDamaged:
            return False
        return True

    def put(self, content: bytes) -> None:
        self.ledger.close()
        self.path.write_bytes(content)
        self.ledger = Ledger(self.path)

    @rule(
        name=NAMES,
        part=st.sampled_from(PARTS),
        event=st.sampled_from([ROUND, SMALL]),
        cohort=st.sampled_from([DIGEST, DIGEST.replace("0", "1")]),
        crash=st.sampled_from(["none", "none", "before the journal", "before training"]),
    )
    def ask(self, name: str, part: Part, event: SampledGaussian, cohort: str, crash: str) -> None:
        """Charge a request and train on it; a crash may come between."""
        wanted = entry(name, part, event=event).model_copy(update={"cohort": cohort})
        if not self.is_whole() or name in self.left:
            return
        before = self.ledger.spent(part, delta=DELTA).rdp
        try:
            spent = self.ledger.reserve(wanted, limit=CAP, delta=DELTA)
        except (BudgetExceeded, EnvelopeRefused):
            assert self.ledger.spent(part, delta=DELTA).rdp == before
            return
        assert self.ledger.spent(part, delta=DELTA).rdp >= before
        assert spent.rdp <= CAP
        if crash == "before the journal":
            self.crash()
            return
        charge = Reserved(
            request=name, part=part, event=event, max_norm=wanted.max_norm, spent=spent
        )
        self.journal.append(charge)
        if crash == "before training":
            self.crash()
            return
        self.trained[name] = wanted

    @rule(name=NAMES, noted=st.booleans())
    def release(self, name: str, noted: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """Let a reply leave and make its charge final; the last line may be lost in a crash."""
        if name not in self.trained or name in self.left or not self.is_whole():
            return
        self.left.add(name)
        sent = ReplySent(
            run="r",
            round=1,
            request=name,
            artefact="histogram",
            reply=DIGEST,
            arrays=None,
            size_bytes=1,
        )
        self.journal.append(sent)
        self.ledger.commit(name)
        if noted:
            self.journal.append(Settled(request=name, outcome="committed"))

    @rule(name=NAMES, noted=st.booleans())
    def void(self, name: str, noted: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """Take back a charge whose training never started; the ledger's own rule for the rest."""
        if name in self.trained or not self.is_whole():
            return
        try:
            self.ledger.void(name)
        except LedgerDamaged:
            return
        if noted:
            self.journal.append(Settled(request=name, outcome="voided"))

    @rule(name=NAMES)
    def void_what_left(self, name: str) -> None:
        """Nothing takes back what left."""
        if name not in self.left or not self.is_whole():
            return
        try:
            self.ledger.void(name)
        except LedgerDamaged:
            return
        message = "a release that left was taken back"
        raise AssertionError(message)

    @rule()
    def crash(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.path)

    @rule()
    def back_up(self) -> None:
        self.backups.append(self.path.read_bytes())

    @precondition(lambda self: self.backups)
    @rule(chosen=st.integers(0, 99))
    def put_back(self, chosen: int) -> None:
        """Put an older ledger in the place of the newest; what is behind the journal is refused."""
        if self.newest is None:
            self.newest = self.path.read_bytes()
        self.put(self.backups[chosen % len(self.backups)])
        if self.is_whole():
            self.newest = None

    @precondition(lambda self: self.newest is not None)
    @rule()
    def mend(self) -> None:
        """A person restores the newest backup."""
        assert self.newest is not None
        self.put(self.newest)
        self.newest = None

    @invariant()
    def every_training_is_paid_for(self) -> None:
        trained = list(self.trained.values())
        for part in PARTS:
            cost = epsilon(trained, part)
            assert cost <= CAP
            if self.is_whole():
                assert self.ledger.spent(part, delta=DELTA).rdp >= cost


TestHospital = Hospital.TestCase
TestHospital.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
