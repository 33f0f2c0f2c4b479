"""What a node at work tells of itself, figure by figure.

How long training took, and how much it read, follow from the cohort: they are not among these.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import Metric

from hospital_node.config import NodeHome
from schemas.monitoring import Labelled, Watched, counters, disk_free, gauge


class Line(Protocol):
    """A line to the relay."""

    is_reached: bool
    sent: Counter[str]


@dataclass(slots=True)
class Tally:
    """What a node has done since it was started, over the lines that it had."""

    home: NodeHome
    lines: list[Line] = field(default_factory=list)
    """The last one is in use."""

    def watched(self) -> Watched:
        """Return what `hospital-node serve` tells of itself."""
        return Watched(self._figures, self._fault)

    def _figures(self) -> Iterator[Metric]:
        reached = float(not self._fault())
        yield gauge("relay_reached", "1 while the relay answers and lets the node in.", reached)
        sent = sum((Counter(one.sent) for one in self.lines), Counter[str]())
        values: Labelled = {(kind,): float(count) for kind, count in sent.items()}
        yield counters("messages_answered", "Replies handed to the relay.", ("type",), values)
        yield disk_free(self.home.root)

    def _fault(self) -> str:
        is_reached = bool(self.lines) and self.lines[-1].is_reached
        return "" if is_reached else "the relay does not answer, or does not let this node in"
