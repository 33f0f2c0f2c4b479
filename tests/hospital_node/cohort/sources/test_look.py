"""A look at a folder tells every change of a file in it, and nothing while it may still change."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hospital_node.cohort.sources.look import SETTLED_NS, look_at

KEY = bytes(32)


def later() -> int:
    """Return a time at which everything written so far has settled."""
    return time.time_ns() + 2 * SETTLED_NS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    for name in ("a", "b", "deep/c", "deep/deeper/d"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    return tmp_path


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "other bytes, with size and time put back": lambda at: same_size_and_time(at / "deep" / "c"),
    "a longer file": lambda at: (at / "a").write_bytes(b"y" * 1000),
    "a new file": lambda at: (at / "deep" / "e").write_bytes(b""),
    "a file less": lambda at: (at / "b").unlink(),
    "another name": lambda at: (at / "b").rename(at / "z"),
    "another place": lambda at: (at / "b").rename(at / "deep" / "b"),
    "two names swapped": lambda at: swapped(at / "a", at / "b"),
    "a link in the place of a file": lambda at: linked(at / "b"),
    "other rights": lambda at: (at / "b").chmod(0o600),
}


def swapped(one: Path, other: Path) -> None:
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("a")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_seen(folder: Path, change: Callable[[Path], object]) -> None:
    before = look_at(folder, key=KEY, now_ns=later())
    assert before is not None
    assert look_at(folder, key=KEY, now_ns=later()) == before
    change(folder)
    assert look_at(folder, key=KEY, now_ns=later()) != before


def test_what_was_written_just_now_is_not_trusted(folder: Path) -> None:
    newest = max(path.stat().st_ctime_ns for path in folder.rglob("*"))
    assert look_at(folder, key=KEY, now_ns=newest + SETTLED_NS - 1) is None
    assert look_at(folder, key=KEY, now_ns=newest + SETTLED_NS) is not None


def test_a_look_is_under_the_sites_key(folder: Path) -> None:
    now = later()
    assert look_at(folder, key=KEY, now_ns=now) != look_at(folder, key=b"k" * 32, now_ns=now)


@pytest.mark.parametrize("name", ["nowhere", "a"])
def test_what_is_no_folder_tells_nothing(folder: Path, name: str) -> None:
    assert look_at(folder / name, key=KEY, now_ns=later()) is None


def test_a_name_of_any_bytes_is_looked_at(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff\n\xfe")).write_bytes(b"")
    assert look_at(folder, key=KEY, now_ns=later()) is not None
