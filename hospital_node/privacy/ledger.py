"""The privacy ledger: every private release, written down before it happens.

* A reservation counts as spent unless training never started; a crash over-counts and never
  under-counts.
* Rows are only ever added, and the latest row of a request counts: a voided request that is
  reserved again is charged again.
* A request stands for one release: the same id with other content is refused, not taken as a
  repetition.
* The limit holds on Renyi epsilon, for each part on its own: train and validation patients are
  disjoint.
* All cohorts, plans and runs of the site compose as if they shared their patients.
* A write is on disk before a call returns. A ledger that is missing or does not verify is refused,
  never begun anew.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Literal, Self, TypeAlias

from pydantic import Field, ValidationError

from hospital_node.privacy.ledger_refusals import damaged, failed, reused
from schemas import accounting
from schemas.base import Record, is_other_version
from schemas.errors import BudgetExceeded, OtherVersion
from schemas.files import sync_folder
from schemas.manifest import Part
from schemas.names import Digest, Name, Text
from schemas.privacy import SampledGaussian, Spend

Status: TypeAlias = Literal["reserved", "committed", "voided"]

_APPLICATION = 0x434F4E53
_VERSION = 1
_REMEMBERED = 2**14
"""Rows that a process keeps parsed: those of some 8000 releases."""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE rows (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('reserved', 'committed', 'voided')),
    entry TEXT NOT NULL,
    spend TEXT NOT NULL
) STRICT;
CREATE INDEX rows_by_request ON rows (request, sequence);
CREATE TRIGGER rows_stay BEFORE DELETE ON rows BEGIN SELECT RAISE(ABORT, 'rows stay'); END;
CREATE TRIGGER rows_keep BEFORE UPDATE ON rows BEGIN SELECT RAISE(ABORT, 'rows keep'); END;
-- A row that comes without its number has -1 here; REPLACE would pass by the first trigger.
CREATE TRIGGER rows_follow BEFORE INSERT ON rows WHEN NEW.sequence != -1
BEGIN SELECT RAISE(ABORT, 'rows follow'); END;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class Entry(Record):
    """One release: what an accountant needs, and what it was for."""

    request: Name
    run: Name
    plan: Digest
    round: int = Field(ge=1)
    part: Part
    event: SampledGaussian
    max_norm: float = Field(gt=0)
    """Sensitivity: the clipping bound C of training, 1 for an evaluation histogram."""
    contract: Digest
    cohort: Digest
    """Digest of the manifest."""
    software: Text


class Row(Record):
    """One line of the ledger."""

    sequence: int
    status: Status
    entry: Entry
    spend: Spend
    """The part's standing when the release was reserved."""


def standing(rows: Iterable[Row]) -> tuple[Entry, ...]:
    """Return the releases that count: of each request the latest row, if it is not voided."""
    latest = {row.entry.request: row for row in rows}
    return tuple(row.entry for row in latest.values() if row.status != "voided")


def create(path: Path) -> None:
    """Begin an empty ledger in a new home; one that exists is left as it is.

    Raises:
        LedgerDamaged: the file is there and is no database.
    """
    path.touch(mode=0o600)
    with _verifying(), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            connection.executescript("PRAGMA synchronous = EXTRA;" + _SCHEMA)
    sync_folder(path.parent)


class Ledger:
    """A site's ledger, open; threads may share it, and other processes wait for each other."""

    def __init__(self, path: Path) -> None:
        """Open and verify the file.

        Raises:
            LedgerDamaged: missing, not a ledger of this version, or corrupt.
        """
        if not path.is_file():
            raise damaged("no file")
        self._lock = RLock()
        with _verifying():
            self._connection = sqlite3.connect(
                path, isolation_level=None, timeout=60.0, check_same_thread=False
            )
        try:
            with _verifying():
                _verify(self._connection)
                # FULL does not sync the folder after it unlinks the rollback journal: a power
                # cut right after COMMIT could bring it back, and with it the state before.
                self._connection.execute("PRAGMA synchronous = EXTRA")
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def reserve(self, entry: Entry, *, limit: float, delta: float) -> Spend:
        """Charge a release before it happens, and return the part's standing with it.

        A repetition of a request that stands is not charged twice and returns the standing it was
        given then.

        Raises:
            BudgetExceeded: epsilon would rise over the limit; nothing is written.
            EnvelopeRefused: the request's id stands for another release.
            LedgerDamaged: the ledger cannot be read or written.
        """
        with self._transaction():
            latest = self._latest(entry.request)
            if latest is not None and _other_release(latest.entry, entry):
                raise reused()
            if latest is not None and latest.status != "voided":
                return latest.spend
            spent = self._events(entry.part)
            before = accounting.epsilon_rdp(spent, delta=delta)
            after = accounting.spend([*spent, entry.event], delta=delta)
            if after.rdp > limit:
                raise BudgetExceeded(before=before, after=after.rdp, limit=limit, delta=delta)
            self._append("reserved", entry, after)
            return after

    def commit(self, request: Name) -> None:
        """Note that the release left this site; again is no change.

        Raises:
            LedgerDamaged: the request is not reserved here.
        """
        self._settle(request, "committed")

    def void(self, request: Name) -> None:
        """Take a charge back, only where the work never started; again is no change.

        Raises:
            LedgerDamaged: the request is not reserved here, or it left this site.
        """
        self._settle(request, "voided")

    def status(self, request: Name) -> Status | None:
        """Return where a request stands; None when it was never reserved."""
        with self._transaction():
            latest = self._latest(request)
            return None if latest is None else latest.status

    def spent(self, part: Part, *, delta: float) -> Spend:
        """Return a part's standing over every release that counts."""
        with self._transaction():
            return accounting.spend(self._events(part), delta=delta)

    def entries(self) -> tuple[Entry, ...]:
        """Return the releases that count."""
        return standing(self.rows())

    def rows(self) -> tuple[Row, ...]:
        """Return every row, in order."""
        with self._transaction():
            return tuple(self._read("ORDER BY sequence"))

    def _settle(self, request: Name, status: Status) -> None:
        with self._transaction():
            latest = self._latest(request)
            if latest is None or latest.status not in {"reserved", status}:
                found = "nothing" if latest is None else latest.status
                raise damaged(f"{found} where a reservation should stand")
            if latest.status == "reserved":
                self._append(status, latest.entry, latest.spend)

    def _append(self, status: Status, entry: Entry, spend: Spend) -> None:
        self._connection.execute(
            "INSERT INTO rows (request, status, entry, spend) VALUES (?, ?, ?, ?)",
            (entry.request, status, entry.canonical().decode(), spend.canonical().decode()),
        )

    def _events(self, part: Part) -> list[SampledGaussian]:
        whole = standing(self._read("ORDER BY sequence"))
        return [entry.event for entry in whole if entry.part == part]

    def _latest(self, request: Name) -> Row | None:
        condition = "WHERE request = ? ORDER BY sequence DESC LIMIT 1"
        return next(self._read(condition, request), None)

    def _read(self, condition: str, *values: str) -> Iterator[Row]:
        query = f"SELECT sequence, status, entry, spend FROM rows {condition}"  # noqa: S608 - constants of this file
        for columns in self._connection.execute(query, values):
            yield _row(*columns)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Hold the ledger alone; on any error nothing was written."""
        with self._lock, _verifying():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


@lru_cache(maxsize=_REMEMBERED)
def _row(sequence: int, status: Status, entry: str, spend: str) -> Row:
    """Read a row; one with the same content is read once in a process."""
    return Row(
        sequence=sequence,
        status=status,
        entry=Entry.model_validate_json(entry),
        spend=Spend.model_validate_json(spend),
    )


def _verify(connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (application, version) != (_APPLICATION, _VERSION):
        raise damaged("a file that is no ledger of this version")
    result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if result != "ok":
        raise damaged("pages that do not verify")


@contextmanager
def _verifying() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise failed(getattr(error, "sqlite_errorname", None)) from error
    except ValidationError as error:
        kinds = {kind.__name__: kind for kind in (Entry, Spend)}
        if is_other_version(error, kinds.get(error.title, Row)):
            raise OtherVersion("ledger") from None
        raise damaged("a row that cannot be read") from None


def _other_release(known: Entry, entry: Entry) -> bool:
    """Say whether two entries differ in more than the software that writes them."""
    return known.model_copy(update={"software": entry.software}) != entry
