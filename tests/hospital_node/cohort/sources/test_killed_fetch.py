"""A fetch that is killed, or that the disk cannot take: what came stays, the rest comes later."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from hospital_node.cohort.sources.pacs import PacsSource
from hospital_node.cohort.sources.query import Query
from hospital_node.cohort.sources.settings import Pacs
from hospital_node.cohort.sources.spool import Spool
from tests.conftest import ROOT
from tests.hospital_node.cohort.exports import ROOT_UID
from tests.hospital_node.cohort.sources.test_hostile_pacs import (
    PATIENT,
    SOP_CLASS,
    Liar,
    archive,
    picture,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
COUNT = 40


def fetch(settings: str, folder: str) -> None:
    """Fetch everything that the liar lists."""
    labelled = frozenset(f"{ROOT_UID}{number}" for number in range(COUNT))
    query = Query((PATIENT,), labelled, ("DX",), (SOP_CLASS,))
    source = PacsSource(Pacs.from_canonical(settings.encode()), query)
    source.fetched(Spool(Path(folder)), progress=lambda _done, _all: None)


def started(settings: Pacs, folder: Path, before: str = "pass") -> "subprocess.Popen[str]":
    """Fetch in a process of its own."""
    name = "tests.hospital_node.cohort.sources.test_killed_fetch"
    program = f"{before}; import sys; from {name} import fetch; fetch(*sys.argv[1:])"
    command = [sys.executable, "-c", program, settings.canonical().decode(), str(folder)]
    return subprocess.Popen(  # noqa: S603 - our own program
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def whole(folder: Path) -> dict[str, int]:
    return {one.name: one.stat().st_mtime_ns for one in (folder / "objects").glob("*")}


def sends(_liar: Liar) -> Iterator[Dataset]:
    return (picture(number) for number in range(COUNT))


def test_a_killed_fetch_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with archive(Liar(listed=COUNT, sends=sends, pause_s=0.2)) as settings:
        process = started(settings, tmp_path)
        end = time.monotonic() + 60
        while len(whole(tmp_path)) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        before = whole(tmp_path)
        assert 3 <= len(before) < COUNT
        (tmp_path / ".arriving-left").write_bytes(b"half an object")
    with archive(Liar(listed=COUNT, sends=sends)) as settings:
        fetch(settings.canonical().decode(), str(tmp_path))
    after = whole(tmp_path)
    assert len(after) == COUNT
    assert {name: after[name] for name in before} == before
    assert not list(tmp_path.glob(".arriving-*"))


def test_a_disk_that_cannot_take_an_object_ends_the_fetch(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))"
    with archive(Liar(listed=COUNT, sends=sends)) as settings:
        process = started(settings, tmp_path, limit)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "File too large" in said, "what the system says of the disk"
    assert PATIENT not in said
    assert ROOT_UID not in said
    assert whole(tmp_path) == {}
    assert not list(tmp_path.glob(".arriving-*"))
