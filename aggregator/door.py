"""Who was turned away at the public port: counted, and told in a journal of the relay's own.

* However many calls come, each reason is one event in some seconds: a flood fills no disk.
* The addresses are in the private part: a bounded number of them, each short and plain.
* `aggregator serve` owns this journal; the federation's own belongs to whoever leads a run.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock

from pydantic import Field

from aggregator.caller import plain
from aggregator.config import AggregatorConfig, AggregatorHome
from schemas.audit.events import TurnedAway
from schemas.audit.journal import Journal
from schemas.base import Record
from schemas.names import Name, Text, now
from schemas.wire.keys import SigningKey, former_keys

PAUSE_S = 5.0
"""Between two times that the journal is written."""

_MAX_ADDRESSES = 100
_LEAST_REFUSAL, _LEAST_FAILURE = 400, 500

REASONS = {
    400: "malformed",
    401: "not-signed",
    403: "no-such-run",
    404: "no-such-endpoint",
    408: "too-slow",
    409: "not-its-own",
    412: "not-enrolled",
    413: "too-large",
    415: "malformed",
    422: "malformed",
    429: "too-often",
}
"""Why a call is turned away, by its HTTP status."""

_NO_REASON = {503}
"""A node has asked again, so its former question ends; nobody was turned away."""


def reason_of(status: int) -> Name | None:
    """Say why a call with this HTTP status was turned away; None when it was not."""
    if status < _LEAST_REFUSAL or status in _NO_REASON:
        return None
    return REASONS.get(status, "failed" if status >= _LEAST_FAILURE else "refused")


class Callers(Record):
    """Where calls came from, some of them; it stays at the aggregator."""

    addresses: tuple[Text, ...] = Field(max_length=_MAX_ADDRESSES)


@dataclass(slots=True)
class Door:
    """What was turned away and is not written yet."""

    counts: Counter[Name] = field(default_factory=Counter)
    callers: dict[Name, dict[str, None]] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    """All calls by HTTP status, since the relay was started."""
    lock: Lock = field(default_factory=Lock)

    def answered(self, status: int, address: str) -> None:
        """Count a call; one that was turned away is told in the journal; from any thread."""
        with self.lock:
            self.answers[status] += 1
        reason = reason_of(status)
        if reason is not None:
            self.turned_away(reason, address)

    def turned_away(self, reason: Name, address: str) -> None:
        """Count one that was turned away, whoever it was; from any thread."""
        with self.lock:
            self.counts[reason] += 1
            known = self.callers.setdefault(reason, {})
            if len(known) < _MAX_ADDRESSES:
                known[plain(address)] = None

    def write(self, home: AggregatorHome, config: AggregatorConfig) -> None:
        """Write what was counted since the last time, and the signed head over it."""
        with self.lock:
            counts, callers = self.counts, self.callers
            self.counts, self.callers = Counter(), {}
        if not counts:
            return
        with closing(journal(home, config)) as log:
            for reason, count in sorted(counts.items()):
                log.append(
                    TurnedAway(what="call", reason=reason, count=count),
                    private=Callers(addresses=tuple(callers[reason])),
                )


def origin(config: AggregatorConfig) -> str:
    """Name the relay's journal."""
    return f"{config.federation}/door"


def journal(home: AggregatorHome, config: AggregatorConfig) -> Journal:
    """Open the relay's journal, or begin it."""
    key = SigningKey.load(home.service_key)
    former = former_keys(home.keys)
    return Journal(home.door, origin=origin(config), key=key, clock=now, former=former)
