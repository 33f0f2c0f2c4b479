"""What the relay and a run tell of themselves, figure by figure.

A site's name is on the roster, which every party has; nothing here is known to the aggregator
alone, or comes from a cohort.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import Metric

from aggregator.config import AggregatorHome
from aggregator.door import Door
from aggregator.federation import stored_roster
from aggregator.tls import ends
from schemas.audit.events import (
    Facts,
    Quarantined,
    RefusalReceived,
    ReplyMissing,
    ReplyReceived,
    RoundMoved,
    VerdictGiven,
)
from schemas.errors import FederationError
from schemas.monitoring import Labelled, Watched, counters, disk_free, gauge, gauges
from schemas.names import SiteName


def relay(home: AggregatorHome, door: Door, connected: Callable[[], set[SiteName]]) -> Watched:
    """Return what `aggregator serve` tells of itself."""

    def figures() -> Iterator[Metric]:
        roster, online = stored_roster(home), connected()
        answers: Labelled = {(str(status),): float(count) for status, count in door.answers.items()}
        yield counters("requests", "Calls answered at the port.", ("status",), answers)
        nodes: Labelled = {(one.site,): float(one.site in online) for one in roster.members}
        yield gauges("node_connected", "1 while a site's node is connected.", ("site",), nodes)
        yield gauge("roster_serial", "The roster that is in force.", roster.serial)
        until = ends(home.tls).timestamp()
        yield gauge("certificate_ends_timestamp_seconds", "When the certificate ends.", until)
        yield disk_free(home.root)

    def fault() -> str:
        try:
            stored_roster(home)
        except (FederationError, OSError):
            return "the roster cannot be used"
        return "the certificate has ended" if ends(home.tls) <= datetime.now(UTC) else ""

    return Watched(figures, fault)


@dataclass(slots=True)
class RunTally:
    """What has happened in a run that is led, counted from the journal's events."""

    home: AggregatorHome
    rounds: int
    """Of the plan."""
    round: int = 0
    replies: Counter[tuple[str, ...]] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    last: float = field(default_factory=time.time)

    def observe(self, facts: Facts) -> None:
        """Count one event."""
        self.last = time.time()
        match facts:
            case RoundMoved(round=number):
                self.round = number
            case VerdictGiven(verdict=verdict):
                self.verdicts[verdict.outcome,] += 1
            case ReplyReceived(site=site):
                self.replies[site, "received"] += 1
            case RefusalReceived(site=site):
                self.replies[site, "refused"] += 1
            case ReplyMissing(site=site):
                self.replies[site, "missing"] += 1
            case Quarantined(site=site):
                self.replies[site or "unknown", "quarantined"] += 1
            case _:
                pass

    def watched(self) -> Watched:
        """Return what `aggregator run` tells of itself."""
        return Watched(self._figures, lambda: "")

    def _figures(self) -> Iterator[Metric]:
        yield gauge("run_rounds", "Rounds of the plan.", self.rounds)
        yield gauge("run_round", "The round under way.", self.round)
        replies, verdicts = Counter(self.replies), Counter(self.verdicts)
        yield counters("replies", "What came of each request.", ("site", "outcome"), replies)
        yield counters("verdicts", "The model gate's verdicts.", ("outcome",), verdicts)
        yield gauge("last_event_timestamp_seconds", "When something last happened.", self.last)
        yield disk_free(self.home.root)
