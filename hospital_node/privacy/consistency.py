"""Whether ledger and journal are of one state, and of the newest one that ever left.

* The ledger is never behind the journal: a charge is in the ledger before the journal tells of it,
  so each transition that the journal tells of has its row, with the same content.
* The journal is never behind the ledger by a release: a reply is in the journal before its charge
  is final.
* The journal is never behind itself: what it signed and sent, the aggregator returns; a journal
  that is smaller, or another one at that size, was put back, or was copied and the copy used.
* Nothing here mends anything: a person restores a newer backup, or asks the aggregator what it
  received.

Not found: ledger, journal and replies put back together while nothing signed later had reached the
aggregator, or while the aggregator itself returns an older head.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from hospital_node.privacy.ledger import Row
from schemas.audit.events import Facts, ReplySent, Reserved, Settled
from schemas.audit.journal import Journal
from schemas.audit.notes import verified_head
from schemas.errors import EnvelopeRefused, JournalDamaged, LedgerDamaged
from schemas.names import Name, Note, PublicKeys


def hold_ledger(rows: Sequence[Row], claims: Iterable[Facts]) -> None:
    """Hold a ledger against what its journal tells, in both directions.

    Raises:
        LedgerDamaged: one of them is behind the other, or tells of another release.
    """
    left = hold_charges(rows, claims)
    final = {row.entry.request for row in rows if row.status == "committed"}
    if final - left:
        raise _apart("a final charge whose reply the journal does not know")


def hold_charges(rows: Sequence[Row], claims: Iterable[Facts]) -> set[Name]:
    """Hold that a ledger is not behind its journal; return the requests whose replies left.

    The journal may be read before the ledger while another command owns the home.

    Raises:
        LedgerDamaged: a charge is missing, or is another one.
    """
    kept: dict[Name, list[Row]] = defaultdict(list)
    for row in rows:
        kept[row.entry.request].append(row)
    places: dict[Name, int] = defaultdict(lambda: -1)
    left: set[Name] = set()
    for claim in claims:
        match claim:
            case ReplySent(request=request):
                left.add(request)
            case Reserved(request=request):
                if not kept[request] or not _same(kept[request][0], claim):
                    raise _apart("a charge in the journal that the ledger does not have")
                places[request] = _place(kept[request], "reserved", places[request])
            case Settled(request=request, outcome=outcome):
                places[request] = _place(kept[request], outcome, places[request])
            case _:
                """Other events tell nothing of charges."""
    return left


def hold_head(journal: Journal, note: Note, *, origin: str, key: PublicKeys) -> None:
    """Hold this journal against a head that it signed before and the aggregator returns.

    Raises:
        EnvelopeRefused: the note is not signed by this journal's key.
        LedgerDamaged: this journal is smaller than the one that signed it, or another one.
    """
    try:
        head = verified_head(note, origin=origin, key=key)
    except JournalDamaged:
        message = "request refused: the head that it returns was not signed by this journal"
        raise EnvelopeRefused(
            message, next_step="ask the aggregator which head it has of this site"
        ) from None
    root = journal.root_at(head.size)
    if root is None:
        raise _put_back(f"a journal of fewer than the {head.size} events that it signed before")
    if root != head.root:
        raise _put_back(f"another journal than the one whose {head.size} events it signed before")


def _place(own: Sequence[Row], status: str, after: int) -> int:
    """Return where the ledger has this transition of a request.

    Not before the last one found; a reservation told twice, as after a crash, stands once.
    """
    start = after if after >= 0 and own[after].status == status else after + 1
    for place in range(start, len(own)):
        if own[place].status == status:
            return place
    raise _apart(f"a charge that the journal tells was {status}, and the ledger does not")


def _same(row: Row, claim: Reserved) -> bool:
    entry = row.entry
    return (entry.part, entry.event, entry.max_norm) == (claim.part, claim.event, claim.max_norm)


def _apart(found: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"ledger refused: found {found}, only ledger and journal of one state are allowed",
        next_step="stop, keep both as they are, and restore ledger, journal and replies together "
        "from the newest backup",
    )


def _put_back(found: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"journal refused: found {found}; only the newest state of this home is allowed",
        next_step="stop, and use the newest copy of this home; if it is lost, what its patients "
        "spent is known to the aggregator only: do not make a new home over the same patients",
    )
