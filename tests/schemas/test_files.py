"""Files appear whole or not at all, secrets stay private, and a home has one owner at a time."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import HomeRefused
from schemas.files import make_folder, make_whole, owned, read_private, write_durably

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from pathlib import Path
from schemas.files import write_durably
path, size = Path(sys.argv[1]), 1_000_000
while True:
    for letter in (b"a", b"b"):
        write_durably(path, letter * size)
        print(letter.decode(), flush=True)
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from schemas.files import write_durably
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_durably(Path(sys.argv[1]), b"n" * 1001)
"""

OWNER = """
import sys
from pathlib import Path
from schemas.files import owned
with owned(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


def started(program: str, path: Path) -> subprocess.Popen[str]:
    """Start a program of its own on a path."""
    return subprocess.Popen(  # noqa: S603 - our own text
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_file_holds_the_bytes_and_the_mode_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "file"
    write_durably(path, b"old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    write_durably(path, memoryview(b"secret"), mode=0o600)
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_killed_at_any_time_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for written in (1, 2, 5):
        process = started(WRITER, path)
        with process:
            for _ in range(written):
                line_of(process)
            process.kill()
        content = path.read_bytes()
        assert content in {b"a" * 1_000_000, b"b" * 1_000_000}


def test_on_a_full_disk_the_old_bytes_stay_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with started(FULL_DISK, path) as process:
        _, complaint = process.communicate()
    assert "File too large" in complaint
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_with_those_above_it_and_a_second_time_is_no_change(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    make_folder(folder)
    assert folder.is_dir()
    write_durably(folder / "file", b"")
    with pytest.raises(FileExistsError):
        make_folder(folder / "file")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o700 | 0o001, 0o620])
def test_a_secret_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing"
    write_durably(path, b"secret", mode=mode)
    with pytest.raises(HomeRefused) as refused:
        read_private(path)
    assert refused.value.message == (
        f"key refused: signing has mode {mode:04o}, only 0600 is allowed"
    )
    assert refused.value.next_step == "chmod 600 signing, and ask who could read it"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_secret_is_read(tmp_path: Path, mode: int) -> None:
    write_durably(tmp_path / "signing", b"secret", mode=mode)
    assert read_private(tmp_path / "signing") == b"secret"


def test_a_missing_secret_is_refused_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(HomeRefused) as refused:
        read_private(tmp_path / "signing")
    assert refused.value.message == "key refused: signing is missing from this home"


def test_a_home_has_one_owner_and_is_free_again_when_the_command_ends(tmp_path: Path) -> None:
    with started(OWNER, tmp_path) as other:
        assert line_of(other) == "owned"
        refuses_ownership(tmp_path)
        other.communicate("")
    with owned(tmp_path):
        refuses_ownership(tmp_path)
    with owned(tmp_path):
        assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == 0o600


def refuses_ownership(home: Path) -> None:
    with pytest.raises(HomeRefused) as refused, owned(home):
        pytest.fail("owned twice")
    assert refused.value.message == (
        f"home refused: {home.name} is in use by another command, one at a time is allowed"
    )


def test_a_killed_owner_leaves_the_home_free(tmp_path: Path) -> None:
    with started(OWNER, tmp_path) as other:
        assert line_of(other) == "owned"
        other.kill()
    with owned(tmp_path):
        pass


def test_a_command_that_fails_leaves_the_home_free(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), owned(tmp_path):
        raise ZeroDivisionError
    with owned(tmp_path):
        pass


def test_a_missing_home_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(HomeRefused) as refused, owned(tmp_path / "absent"):
        pytest.fail("owned nothing")
    assert refused.value.message == "home refused: absent is not a directory"
    assert not (tmp_path / "absent").exists()


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(HomeRefused) as refused, owned(tmp_path):
        pytest.fail("owned without a lock")
    assert refused.value.message == (
        f"home refused: {tmp_path.name} cannot be written (Is a directory)"
    )


def _absent(root: Path) -> None:
    root.rmdir()


def _is_file(root: Path) -> None:
    root.rmdir()
    root.write_bytes(b"")


def _holds_a_file(root: Path) -> None:
    (root / ".hidden").touch()


def _fill(place: Path) -> None:
    (place / "key").write_bytes(b"secret")
    (place / "last").write_bytes(b"settings")


@pytest.mark.parametrize("is_made", [os.stat, _absent])
def test_a_new_or_empty_directory_may_become_a_home(
    tmp_path: Path, is_made: Callable[[Path], object]
) -> None:
    root = tmp_path / "home"
    root.mkdir()
    is_made(root)
    make_whole(root, _fill, last="last")
    assert {path.name for path in root.iterdir()} - {".lock"} == {"key", "last"}
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize("is_made", [_is_file, _holds_a_file])
def test_an_occupied_directory_may_not(tmp_path: Path, is_made: Callable[[Path], None]) -> None:
    root = tmp_path / "home"
    root.mkdir()
    is_made(root)
    with pytest.raises(HomeRefused) as refused:
        make_whole(root, _fill, last="last")
    assert refused.value.message == (
        "home refused: home exists and is not empty, only a new or empty directory is allowed"
    )


def test_what_a_cut_fill_left_is_made_anew(tmp_path: Path) -> None:
    def cut(place: Path) -> None:
        (place / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_whole(tmp_path, cut, last="last")
    assert not (tmp_path / "last").exists()
    make_whole(tmp_path, _fill, last="last")
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {"key", "last"}


def test_what_stands_in_the_way_is_never_deleted_for_an_unfinished_home(tmp_path: Path) -> None:
    making = tmp_path / ".making"
    making.mkdir()
    _fill(making)
    (tmp_path / "key").write_bytes(b"from a backup")
    with pytest.raises(HomeRefused, match="not empty"):
        make_whole(tmp_path, _fill, last="last")
    assert (tmp_path / "key").read_bytes() == b"from a backup"
