"""How a run ended, for whoever led it: what every command that leads one says and raises."""

from dataclasses import dataclass
from typing import Any

from aggregator.delivery import deliveries
from aggregator.federation import Federation
from aggregator.runs import stored
from schemas.audit.events import ReleaseDecided
from schemas.errors import NothingAccepted, NotReleased
from schemas.names import Name, SiteName


@dataclass(frozen=True, slots=True)
class Ending:
    """A run that is over."""

    run: Name
    accepted_round: int
    """0: only the initial model stands."""
    delivered: tuple[SiteName, ...]
    """Who signed for the released model."""
    decision: ReleaseDecided | None
    """None: there was no accepted model to decide about."""

    def facts(self) -> dict[str, Any]:
        """Return what a program is told of it."""
        return {
            "run": self.run,
            "accepted_round": self.accepted_round or None,
            "released": self.decision is not None and self.decision.is_released,
            "delivered": self.delivered,
        }

    def sentence(self) -> str:
        """Return what a person is told of it."""
        lines = [f"Run {self.run} ended. Write its report: aggregator audit report --home DIR"]
        if self.decision is not None and self.decision.is_released:
            lines.insert(0, f"Released; delivered to: {', '.join(self.delivered) or 'nobody yet'}")
        return "\n".join(lines)

    def refuse_empty(self) -> None:
        """Refuse to end in order where nothing came of the run.

        Raises:
            NothingAccepted: no candidate passed the gate.
            NotReleased: the accepted model misses the plan's release criteria.
        """
        if self.accepted_round == 0:
            message = "run ended without an accepted model: no candidate passed the gate"
            raise NothingAccepted(
                message, next_step="read the verdicts: aggregator audit report --home DIR"
            )
        if self.decision is not None and not self.decision.is_released:
            missed = "; ".join(
                one.reason for one in self.decision.checks if one.outcome != "accepted"
            )
            message = f"model of round {self.decision.round} not released: {missed}"
            next_step = "train longer, or change the plan's [release] and have it approved"
            raise NotReleased(message, next_step=next_step)


def ending_of(federation: Federation, run: Name) -> Ending:
    """Read how a run ended.

    Raises:
        InputRefused: no such run.
    """
    _, state = stored(federation, run)
    delivered, decision = deliveries(federation, run)
    return Ending(run, state.accepted.round, delivered, decision)
