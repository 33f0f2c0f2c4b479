"""What a ledger says when it cannot go on."""

from schemas.errors import EnvelopeRefused, LedgerDamaged

_PASSING = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_IOERR")
"""The disk's or another process's trouble; the file may be whole."""


def damaged(found: str) -> LedgerDamaged:
    """Refuse a file that is no whole ledger."""
    return LedgerDamaged(
        f"ledger refused: found {found}, only a whole ledger of this home is allowed",
        next_step="stop, keep the file, and restore ledger and journal together from a backup",
    )


def failed(name: str | None) -> LedgerDamaged:
    """Refuse after an error of the database, by SQLite's name of it; a full disk is no damage."""
    if name is None or not name.startswith(_PASSING):
        return damaged(f"a database error ({name or 'without a name'})")
    return LedgerDamaged(
        f"ledger refused: it cannot be read or written now ({name}), nothing goes on without it",
        next_step="make room on its disk, or end what holds the file, and ask again; the file "
        "itself may be whole",
    )


def reused() -> EnvelopeRefused:
    """Refuse a request whose id stands for another release."""
    return EnvelopeRefused(
        "request refused: its id stands in the ledger for another release, each needs its own",
        next_step="ask the aggregator to open the round again under a new request id",
    )
