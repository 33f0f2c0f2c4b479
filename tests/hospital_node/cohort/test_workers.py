"""What breaks the process that reads files costs one file."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.reasons import NotUsed
from hospital_node.cohort.worker import Limits
from hospital_node.cohort.workers import read_apart
from schemas.contract import DataContract
from schemas.image_rules import Range
from tests.hospital_node.cohort.exports import contract, image, pixels, write
from tests.readers import killed, readers

FILES = 60


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write(image(n, patient=f"P{n}"), tmp_path / f"{n}") for n in range(FILES)]


def big() -> DataContract:
    size = Range(least=8, most=65535)
    return contract(rows=size, columns=size, bits_stored=Range(least=8, most=32))


def slow_file(path: Path) -> Path:
    """Write an image that takes much longer than a hundredth of a second."""
    values = np.arange(4096 * 4096, dtype=np.uint16).reshape(4096, 4096)
    return write(image(0, patient="P", values=values), path)


def test_a_process_apart_reads_what_this_one_reads(files: list[Path]) -> None:
    files[3].write_bytes(b"no DICOM")
    there = dict(read_apart(files, contract(), workers=2))
    assert sorted(there) == list(range(FILES))
    for number, path in enumerate(files):
        here, other = read(path, contract()), there[number]
        if isinstance(here, Image):
            assert isinstance(other, Image)
            assert (other.content, other.instance, other.patient) == (
                here.content,
                here.instance,
                here.patient,
            )
            assert [one.digest for one in other.frames] == [one.digest for one in here.frames]
            assert (other.frames[0].plane == here.frames[0].plane).all()
        else:
            assert other == here == NotUsed("not-dicom")


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_worker_that_is_killed_costs_no_file(files: list[Path], how: signal.Signals) -> None:
    reading = read_apart(files, contract(), workers=1)
    first = next(reading)
    for one in readers():
        os.kill(one, how)
    outcomes = dict([first, *reading])
    assert sorted(outcomes) == list(range(FILES))
    assert all(isinstance(one, Image) for one in outcomes.values())


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGSEGV, "codec-crash"), (signal.SIGKILL, "over-memory")]
)
def test_a_file_that_kills_every_worker_is_given_up(
    tmp_path: Path, how: signal.Signals, code: str
) -> None:
    one = write(image(1, patient="P"), tmp_path / "one")
    with killed(how):
        outcomes = dict(read_apart([one], contract(), workers=1))
    assert outcomes == {0: NotUsed(code)}


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    slow = slow_file(tmp_path / "slow")
    quick = write(image(1, patient="P"), tmp_path / "quick")
    limits = Limits(computing_s=-slow.stat().st_size / 2**24 + 0.05)
    started = time.monotonic()
    outcomes = dict(read_apart([slow, quick], big(), workers=1, limits=limits))
    assert outcomes[0] == NotUsed("over-time")
    assert time.monotonic() - started < 60
    assert isinstance(dict(read_apart([quick], big(), workers=1))[0], Image)


def test_a_bomb_costs_one_file_and_a_gigabyte_at_most(tmp_path: Path) -> None:
    dataset = image(1, patient="P", values=pixels(1))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    dataset.PixelRepresentation = 1
    dataset.Rows = dataset.Columns = 8192
    dataset.PixelData = bytes(2**28)
    heavy = write(dataset, tmp_path / "heavy")
    good = write(image(2, patient="P"), tmp_path / "good")
    outcomes = dict(read_apart([heavy, good], big(), workers=1))
    assert outcomes[0] == NotUsed("over-memory")
    assert isinstance(outcomes[1], Image)


def test_no_files_need_no_worker() -> None:
    before = readers()
    assert list(read_apart([], contract(), workers=4)) == []
    assert readers() == before
