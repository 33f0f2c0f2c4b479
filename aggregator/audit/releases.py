"""What left the sites for the aggregator: replies, and what they gave to a sum.

* A reply that is recorded twice (a repeated request gets the stored bytes) is one release.
* Where only a sum is opened the reply is a self-check; the value left in an exchange of its own.
* A release that was left out of its round says so; each stands for the purpose of its request.
"""

from collections.abc import Iterator
from typing import TypeAlias

from aggregator.audit.reading import Reading, left_out
from aggregator.audit.records import Purpose, Release
from schemas.audit.artefacts import EXCHANGED, Artefact
from schemas.audit.events import (
    AuditEvent,
    ExchangeAsked,
    ExchangeReplied,
    ReplyReceived,
    SumOpened,
)
from schemas.names import Digest
from schemas.plan import TrainingPlan
from schemas.protection.terms import is_summed

__all__ = ["releases", "replies", "summed"]


def releases(source: Reading, plan: TrainingPlan) -> tuple[Release, ...]:
    """List what left the sites: replies in the order of arrival, then what came in exchanges."""
    outs = {(row.site, row.round, row.purpose): event.sequence for event, row in left_out(source)}
    rows = dict[tuple[str, Digest], Release]()
    for event, artefact, facts in (*_replied(source, plan), *_exchanged(source)):
        purpose = source.purpose(facts.request)
        row = Release(
            round=facts.round,
            site=facts.site,
            purpose=purpose,
            artefact=artefact,
            time=event.time,
            reply=facts.reply,
            arrays=facts.arrays,
            size_bytes=facts.size_bytes,
            quarantined=event.sequence < outs.get((facts.site, facts.round, purpose), -1),
        )
        rows.setdefault((facts.site, facts.reply), row)
    return tuple(rows.values())


def replies(source: Reading) -> tuple[tuple[AuditEvent, ReplyReceived], ...]:
    """List the verified replies, each once."""
    seen: dict[tuple[str, str], tuple[AuditEvent, ReplyReceived]] = {}
    for event, facts in source.stated(ReplyReceived):
        seen.setdefault((facts.site, facts.reply), (event, facts))
    return tuple(seen.values())


def summed(source: Reading) -> set[Digest]:
    """Return the digests of the values that are in a sum that was opened."""
    return {digest for _, one in source.stated(SumOpened) for digest in one.survivors.values()}


_Came: TypeAlias = Iterator[tuple[AuditEvent, Artefact, ReplyReceived | ExchangeReplied]]


def _replied(source: Reading, plan: TrainingPlan) -> _Came:
    for event, facts in replies(source):
        yield event, _artefact(source.purpose(facts.request), plan), facts


def _artefact(purpose: Purpose, plan: TrainingPlan) -> Artefact:
    if is_summed(plan, "train" if purpose == "train" else "evaluate"):
        return "self-check"
    return "update" if purpose == "train" else "histogram"


def _exchanged(source: Reading) -> _Came:
    asked = {one.request: one.exchange for _, one in source.stated(ExchangeAsked)}
    for event, facts in source.stated(ExchangeReplied):
        if facts.request in asked:
            yield event, EXCHANGED[asked[facts.request]], facts
