"""Witnessing: whoever cosigns a log's heads has seen one history only (c2sp.org/tlog-witness, v1).

* What is offered is the body of the specification's `add-checkpoint`: the size last cosigned, a
  proof from there, and the new head. Hospitals take no calls, so it travels in a round's messages.
* A head that does not continue the one last cosigned is a fork: it is refused, and whoever sees it
  keeps both heads, which their owner signed.
* The caller puts the new head on disk before it answers with a cosignature.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.audit.merkle import is_consistent
from schemas.audit.notes import TreeHead, cosigners, verified_head, witness_name
from schemas.enrolment import Roster
from schemas.errors import HeadRefused, JournalDamaged
from schemas.names import Name

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_MOST_HASHES = 63

MALFORMED, NOT_SIGNED, CONFLICT, NOT_CONSISTENT = 400, 403, 409, 422
"""What the specification answers over HTTP."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A head to be cosigned, with the proof from a smaller one."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def body(self) -> str:
        """Write it as the specification's request body."""
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in self.proof)
        return f"old {self.old}\n{hashes}\n{self.note}"


def parsed(body: str) -> Offer:
    """Read a request body.

    Raises:
        HeadRefused: it has another form.
    """
    above, _, note = body.partition("\n\n")
    first, *hashes = above.split("\n")
    size = _OLD.fullmatch(first)
    try:
        proof = tuple(base64.b64decode(one, validate=True) for one in hashes)
    except ValueError:
        size = None
    if size is None or len(hashes) > _MOST_HASHES:
        raise _refused(MALFORMED, "an offer of another form")
    return Offer(int(size[1]), proof, note)


def continued(offer: Offer, known: TreeHead | None, *, origin: str, key: str) -> TreeHead:
    """Return the offered head, if it continues the one known; None: none was cosigned before.

    Raises:
        HeadRefused: not signed by this log's key, a proof from another size, or a fork: the two
        heads cannot be of one history, or nothing shows that they are.
    """
    try:
        head = verified_head(offer.note, origin=origin, key=key)
    except JournalDamaged as error:
        raise _refused(NOT_SIGNED, error.message.partition("found ")[2]) from None
    if offer.old > head.size:
        raise _refused(MALFORMED, "a proof from a larger size than the head's")
    if offer.old != (0 if known is None else known.size):
        raise _refused(CONFLICT, "a proof from another size than the one cosigned last")
    if known is None or known.size == 0:
        if offer.proof:
            raise _forked(known, head)
        return head
    if not is_consistent((known.size, known.root), (head.size, head.root), offer.proof):
        raise _forked(known, head)
    return head


def chosen(offers: Sequence[Offer], size: int) -> Offer:
    """Return the offer from this size.

    Raises:
        HeadRefused: there is none.
    """
    for one in offers:
        if one.old == size:
            return one
    raise _refused(CONFLICT, "no proof from the size cosigned last")


def cosigning(note: str, roster: Roster) -> set[Name]:
    """Return which of the roster's sites cosigned a note, under a present or a former key."""
    found = set(cosigners(note, {witness_name(one.site): one.witness for one in roster.members}))
    for one in roster.members:
        for old in one.former:
            name = witness_name(one.site)
            found |= set(cosigners(note, {name: old.witness} if old.witness else {}))
    return found


def _refused(status: int, found: str) -> HeadRefused:
    return HeadRefused(
        f"tree head refused: found {found}",
        status=status,
        next_step="ask the aggregator for a head that continues the one seen here",
    )


def _forked(known: TreeHead | None, head: TreeHead) -> HeadRefused:
    size = 0 if known is None else known.size
    return HeadRefused(
        f"tree head refused: found a log of {head.size} events that does not continue the one of "
        f"{size} events that was cosigned here",
        status=NOT_CONSISTENT,
        next_step="stop, and compare both heads with the other sites: their owner has signed two "
        "histories",
    )
