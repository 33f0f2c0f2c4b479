"""This hospital as a witness: it has seen one history of the aggregator's log, and says so.

* A head is cosigned only if it continues the one cosigned last; that it was stands in this
  hospital's journal, on disk, before the cosignature leaves. A fork is kept there with both heads.
* The next release waits until enough sites have cosigned the head under which the last update left,
  or a later one; the plan's quorum says how many, and a round that counted has as many.
* The journal's public events go back with each reply, from the first that the aggregator lacks.
"""

from dataclasses import dataclass
from datetime import datetime

from hospital_node.node import Node
from schemas.audit.events import ExchangeAnswered, ForkSeen, HeadCosigned, ReplySent
from schemas.audit.exchange import MOST_EVENTS, Shared, Shown
from schemas.audit.lines import facts_in
from schemas.audit.merkle import is_consistent
from schemas.audit.notes import (
    TreeHead,
    aggregator_origin,
    claimed_head,
    cosignature,
    verified_head,
    witness_name,
)
from schemas.audit.witness import chosen, continued, cosigning, parsed
from schemas.errors import HeadRefused, InvalidRecord, JournalDamaged, NotWitnessed

_STANDING = "witness"


@dataclass(frozen=True, slots=True)
class Standing:
    """What this hospital's journal says of the aggregator's log."""

    read: int = 0
    """How many of its events were read for this."""
    note: str | None = None
    """The head cosigned last."""
    released: int = 0
    """Size of the log under which the last update left: a round that counts has its quorum."""

    @property
    def head(self) -> TreeHead | None:
        """The head cosigned last."""
        return None if self.note is None else claimed_head(self.note)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A head that continues what was seen here, and what was shown with it."""

    shown: Shown
    head: TreeHead
    note: str


def shown_in(content: bytes) -> Shown | None:
    """Read what an aggregator shows; None when it shows nothing that can be read."""
    try:
        return Shown.from_canonical(content)
    except InvalidRecord:
        return None


def witnessed(node: Node, shown: Shown | None) -> Witnessed:
    """Return the head shown, if it continues the one cosigned last.

    Raises:
        HeadRefused: it does not; if that makes it a fork, the journal has both heads.
    """
    membership, roster = node.membership()
    standing = stands(node)
    offers = [parsed(one) for one in shown.offers] if shown is not None else []
    origin = aggregator_origin(membership.federation)
    offer = chosen(offers, 0 if standing.head is None else standing.head.size)
    try:
        head = continued(offer, standing.head, origin=origin, key=roster.aggregator)
    except HeadRefused as error:
        if error.is_fork:
            node.journal.append(ForkSeen(known=standing.note, shown=offer.note))
        raise
    assert shown is not None  # noqa: S101 - an offer was found in it
    return Witnessed(shown, head, offer.note)


def cosigned(node: Node, witness: Witnessed) -> tuple[HeadCosigned, ...]:
    """Return what the journal must hold before the cosignature leaves; nothing if it does."""
    known = stands(node).head
    return () if known == witness.head else (HeadCosigned(head=witness.note),)


def hold_quorum(node: Node, witness: Witnessed, *, needed: int) -> None:
    """Hold that enough sites have cosigned the log under which the last reply left.

    Raises:
        NotWitnessed: they have not, or not in the history shown now.
    """
    released = stands(node).released
    if released == 0:
        return
    membership, roster = node.membership()
    origin = aggregator_origin(membership.federation)
    note = witness.shown.cosigned
    if note is None:
        raise _not_witnessed(0, needed)
    try:
        head = verified_head(note, origin=origin, key=roster.signers)
    except JournalDamaged:
        raise _not_witnessed(0, needed) from None
    names = cosigning(note, roster)
    is_late = head.size >= released and _continues(witness, head)
    if len(names) < needed or not is_late:
        raise _not_witnessed(len(names) if is_late else 0, needed)


def shared(
    node: Node,
    shown: Shown | None,
    witness: Witnessed | None,
    *,
    conformance: bytes | None = None,
) -> bytes:
    """Return this journal's events that the aggregator lacks, the cosignature, and a report."""
    journal, site = node.journal, node.config.site
    first = min(journal.size if shown is None else shown.held.get(site, 0), journal.size)
    lines = journal.lines(first, most=MOST_EVENTS)
    line = None
    if witness is not None:
        seconds = int(datetime.fromisoformat(node.clock()).timestamp())
        name = witness_name(site)
        line = cosignature(witness.note, name=name, key=node.witness_key, seconds=seconds)
    return Shared(
        first=first,
        events=tuple(one.decode() for one in lines),
        head=journal.head_at(first + len(lines)),
        cosignature=line,
        conformance=None if conformance is None else conformance.decode(),
    ).canonical()


def stands(node: Node) -> Standing:
    """Read what the journal says, from where it was read last."""
    known = node.warm.get(_STANDING)
    standing = known if isinstance(known, Standing) else Standing()
    size = node.journal.size
    lines = node.journal.lines(standing.read, most=size)
    note, released = standing.note, standing.released
    for facts in facts_in(lines, HeadCosigned, ReplySent, ExchangeAnswered):
        if isinstance(facts, HeadCosigned):
            note = facts.head
            continue
        has_arrays = isinstance(facts, ReplySent | ExchangeAnswered) and facts.arrays is not None
        if has_arrays and note is not None:
            released = _size_of(note)
    node.warm[_STANDING] = Standing(size, note, released)
    return Standing(size, note, released)


def _size_of(note: str) -> int:
    head = claimed_head(note)
    return 0 if head is None else head.size


def _continues(witness: Witnessed, head: TreeHead) -> bool:
    """Say whether the head shown continues another one, by the proofs shown."""
    target = (witness.head.size, witness.head.root)
    if head.size == witness.head.size:
        return head.root == witness.head.root
    offers = (parsed(one) for one in witness.shown.offers)
    return any(
        one.old == head.size and is_consistent((head.size, head.root), target, one.proof)
        for one in offers
    )


def _not_witnessed(found: int, needed: int) -> NotWitnessed:
    return NotWitnessed(
        f"request refused: {found} sites have cosigned the aggregator's log since this site's last "
        f"reply, the plan needs {needed}",
        next_step="the aggregator resumes the run: with this refusal its log is cosigned",
    )
