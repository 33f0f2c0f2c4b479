"""What a crash, a damaged file, another thread or a database tool can do to the ledger."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from hospital_node.privacy.ledger import Ledger, create
from schemas.errors import BudgetExceeded, LedgerDamaged
from tests.hospital_node.privacy.accounts import DELTA, LIMIT, entry, epsilon


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.sqlite")
    return tmp_path / "ledger.sqlite"


CRASH = """
import os, sys
from pathlib import Path
from hospital_node.privacy.ledger import Entry, Ledger

ledger = Ledger(Path(sys.argv[1]))
ledger.reserve(Entry.model_validate_json(sys.argv[2]), limit=100.0, delta=1e-5)
{then}
print("ready", flush=True)
sys.stdin.read()
"""
HALF_WRITTEN = """
ledger._connection.execute("BEGIN IMMEDIATE")
ledger._append("voided", ledger._latest("a").entry, ledger._latest("a").spend)
"""


@pytest.mark.parametrize("then", ["", HALF_WRITTEN], ids=["after reserve", "while voiding"])
def test_a_killed_process_leaves_its_reservation_spent(path: Path, then: str) -> None:
    script = CRASH.format(then=then)
    command = [sys.executable, "-c", script, str(path), entry("a").model_dump_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - this interpreter
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGKILL)
    with Ledger(path) as ledger:
        assert ledger.spent("train", delta=DELTA).rdp == epsilon(1)
        ledger.reserve(entry("b"), limit=LIMIT, delta=DELTA)
        with pytest.raises(BudgetExceeded):
            ledger.reserve(entry("c"), limit=LIMIT, delta=DELTA)


def test_threads_that_share_a_ledger_never_pass_the_limit_together(path: Path) -> None:
    def reserve(name: str) -> None:
        with Ledger(path) as mine:
            for target in (shared, mine):
                try:
                    target.reserve(entry(f"{name}-{id(target)}"), limit=LIMIT, delta=DELTA)
                except BudgetExceeded:
                    refused.append(name)

    refused: list[str] = []
    with Ledger(path) as shared:
        threads = [Thread(target=reserve, args=(f"r{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(shared.entries()) == 2
    assert len(refused) == 6


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM rows",
        "UPDATE rows SET status = 'voided'",
        "REPLACE INTO rows SELECT * FROM rows",
    ],
)
def test_rows_can_be_neither_changed_nor_deleted(path: Path, statement: str) -> None:
    with Ledger(path) as ledger:
        ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA)
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()


def missing(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)


def replaced(path: Path) -> None:
    path.write_text("request,epsilon\n")


def another_database(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE rows (request TEXT)")
    connection.close()


def unreadable_row(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO rows (request, status, entry, spend) VALUES ('b', 'reserved', '{}', '{}')"
    )
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [missing, emptied, truncated, overwritten, replaced, another_database, unreadable_row],
)
def test_a_damaged_ledger_is_refused_and_never_begun_anew(
    path: Path, damage: Callable[[Path], None]
) -> None:
    with Ledger(path) as ledger:
        ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA)
    damage(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(LedgerDamaged, match="ledger refused: found "), Ledger(path) as ledger:
        ledger.spent("train", delta=DELTA)
    assert (path.read_bytes() if path.exists() else None) == before


def fill(ledger: Ledger) -> None:
    for number in range(1000):
        ledger.reserve(entry(f"more-{number}"), limit=1e9, delta=DELTA)


def test_a_full_disk_refuses_the_charge_and_is_not_called_damage(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA)
        connection = ledger._connection  # noqa: SLF001 - no disk is filled for this
        connection.execute("PRAGMA max_page_count = 6")
        with pytest.raises(LedgerDamaged, match="SQLITE_FULL") as refused:
            fill(ledger)
        assert "make room on its disk" in refused.value.next_step
        before = ledger.rows()
    with Ledger(path) as ledger:
        assert ledger.rows() == before
        ledger.reserve(entry("after"), limit=1e9, delta=DELTA)
        assert ledger.rows()[:-1] == before


def test_a_ledger_that_another_program_replaced_is_read_anew(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA)
        before = path.read_bytes()
        ledger.reserve(entry("b"), limit=LIMIT, delta=DELTA)
        assert [row.entry.request for row in ledger.rows()] == ["a", "b"]
    path.write_bytes(before)
    with Ledger(path) as ledger:
        assert [row.entry.request for row in ledger.rows()] == ["a"]
