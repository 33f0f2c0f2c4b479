"""What every step of one run may use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aggregator.aggregation.spool import Spool
from aggregator.asking import Asking
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.protection.attempts import Sums, sums_of
from aggregator.run_state import RunState, StateFile
from aggregator.vectors import Vectors
from schemas.audit.events import Facts
from schemas.plan import TrainingPlan
from schemas.protection.messages import Purpose
from schemas.update import Request
from schemas.wire.layout import Layout


@dataclass(frozen=True, slots=True)
class Run:
    """What every step of one run may use."""

    federation: Federation
    exchange: Exchange
    plan: TrainingPlan
    layout: Layout
    folder: Path
    vectors: Vectors
    """The server optimizer's arrays."""
    observe: Callable[[Facts], None]

    @property
    def states(self) -> StateFile:
        """The saved states."""
        return StateFile(self.folder / "states.jsonl")

    @property
    def spool(self) -> Spool:
        """The updates of one round."""
        return Spool(self.folder / "spool", self.layout)

    def sums(self, state: RunState, purpose: Purpose) -> Sums:
        """The sums of one round, under masking."""
        return sums_of(self.folder, state.round, purpose)

    def note(self, *facts: Facts) -> None:
        """Write events to the journal and show them to who watches."""
        self.federation.journal.append(*facts)
        for one in facts:
            self.observe(one)


def asking(run: Run, request: Request) -> Asking:
    """Return a request with what its replies are held against."""
    return Asking(
        federation=run.federation,
        exchange=run.exchange,
        plan=run.plan,
        layout=run.layout,
        request=request,
        roster=run.federation.roster(),
        observe=run.observe,
    )
