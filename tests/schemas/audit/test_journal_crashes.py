"""A crash, a kill or a full disk costs a journal nothing that it acknowledged."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schemas.audit.logs import KEY, fact, journal, numbers, size_of, written

ROOT = Path(__file__).resolve().parents[3]


def crashed(folder: Path, *, sealed: int, unsealed: int) -> Path:
    """What stands on disk when the owner dies after some events beyond the head."""
    with journal(folder / "alive") as log:
        for number in range(sealed):
            log.append(fact(number))
        log.seal()
        for number in range(sealed, sealed + unsealed):
            log.append(fact(number))
        return shutil.copytree(folder / "alive", folder / "crashed")


@pytest.mark.parametrize(("sealed", "unsealed"), [(0, 1), (0, 3), (1, 1), (2, 3), (3, 0)])
def test_events_beyond_the_head_are_kept_and_signed_next_time(
    tmp_path: Path, sealed: int, unsealed: int
) -> None:
    folder = crashed(tmp_path, sealed=sealed, unsealed=unsealed)
    assert size_of(folder) == sealed
    count = sealed + unsealed
    with journal(folder) as log:
        log.append(fact(count))
    assert numbers(folder) == list(range(count + 1))
    assert size_of(folder) == count + 1


def test_a_torn_last_line_is_dropped_wherever_it_tore(tmp_path: Path) -> None:
    folder = crashed(tmp_path, sealed=1, unsealed=2)
    path, head = folder / "events.jsonl", (folder / "head").read_bytes()
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        (folder / "head").write_bytes(head)
        assert numbers(folder) == [0, 1]
        with journal(folder):
            assert path.read_bytes() == whole[:last], end
    with journal(folder) as log:
        log.append(fact(2))
    assert path.read_bytes() == whole


def test_what_a_full_disk_cuts_short_is_taken_back(tmp_path: Path) -> None:
    path = written(tmp_path) / "events.jsonl"
    whole = path.read_bytes()
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with journal(tmp_path) as log:
        for room in (0, 1, 100):
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + room, before[1]))
            try:
                with pytest.raises(OSError, match="File too large"):
                    log.append(fact(3))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert path.read_bytes() == whole
        log.append(fact(3))
    signal.signal(signal.SIGXFSZ, ignored)
    assert numbers(tmp_path) == [0, 1, 2, 3]
    assert size_of(tmp_path) == 4


WRITER = """
import sys
from itertools import count
from pathlib import Path
from schemas.audit.events import Settled
from schemas.audit.journal import Journal
from schemas.wire.keys import SigningKey
folder = Path(sys.argv[1])
key = SigningKey.load(folder / "signing")
log = Journal(
    folder / "journal", origin="site/east", key=key, clock=lambda: "2026-11-20T09:08:07.006Z"
)
for number in count(sum(1 for _ in log.events())):
    log.append(Settled(request=f"request-{number}", outcome="committed"))
    print(number, flush=True)
    if number % 5 == 4:
        log.seal()
"""


def test_a_killed_owner_loses_nothing_acknowledged(tmp_path: Path) -> None:
    KEY.save(tmp_path / "signing")
    told = -1
    for appended in (1, 3, 12):
        with subprocess.Popen(  # noqa: S603 - our own text
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(appended):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
            told += appended
            told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
        folder = tmp_path / "journal"
        assert size_of(folder) <= told + 2
        with journal(folder) as log:
            assert [one.sequence for one in log.events()][: told + 1] == list(range(told + 1))
        told = numbers(folder)[-1]
        assert size_of(folder) == told + 1
