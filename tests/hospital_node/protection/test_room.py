"""What stands in a home for a sum goes with the next round, and with the end of the run."""

from pathlib import Path

import pytest

from hospital_node.config import NodeHome
from hospital_node.protection.room import Room, clear, room_of
from schemas.errors import EnvelopeRefused
from schemas.names import Name, digest_of
from schemas.protection.messages import Purpose

PLAN, MODEL, OTHER = digest_of(b"plan"), digest_of(b"model"), digest_of(b"other")


def room(folder: Path, run: Name = "r", *, number: int = 1, purpose: Purpose = "train") -> Room:
    return room_of(NodeHome(folder), run, PLAN, at=(number, purpose))


def test_a_value_is_given_for_the_model_that_it_was_made_with_alone(tmp_path: Path) -> None:
    one = room(tmp_path)
    one.keep_value(MODEL, b"value")
    assert one.value(MODEL) == b"value"
    for found, model in ((one, OTHER), (room(tmp_path, number=2), MODEL)):
        with pytest.raises(EnvelopeRefused, match="this site has no value of round"):
            found.value(model)


def test_a_later_value_erases_what_stands_of_the_run_before_it(tmp_path: Path) -> None:
    other = room(tmp_path, "other")
    other.keep_value(MODEL, b"of another run")
    places: list[tuple[int, Purpose]] = [(1, "train"), (1, "evaluate"), (2, "train")]
    rooms = [room(tmp_path, number=number, purpose=purpose) for number, purpose in places]
    for place, one in enumerate(rooms):
        one.keep_value(MODEL, b"value")
        (one.folder / "part.json").write_bytes(b"secret")
        assert [known.folder.exists() for known in rooms[: place + 1]] == [False] * place + [True]
    assert other.value(MODEL) == b"of another run"


def test_the_end_of_a_run_erases_all_of_its_own_and_nothing_else(tmp_path: Path) -> None:
    ended, other = room(tmp_path), room(tmp_path, "other")
    for one in (ended, other):
        one.keep_value(MODEL, b"value")
    clear(NodeHome(tmp_path), "r", PLAN)
    assert not ended.folder.parent.exists()
    assert other.value(MODEL) == b"value"
    clear(NodeHome(tmp_path), "r", PLAN)


def test_erasing_a_room_leaves_its_replies(tmp_path: Path) -> None:
    one = room(tmp_path)
    one.keep_value(MODEL, b"value")
    kept = one.folder / "replies" / "reply"
    kept.parent.mkdir()
    kept.write_bytes(b"reply")
    one.erase()
    assert [path for path in one.folder.rglob("*") if path.is_file()] == [kept]


def test_only_the_owner_can_read_a_value(tmp_path: Path) -> None:
    one = room(tmp_path)
    one.keep_value(MODEL, b"value")
    assert (one.folder / "value").stat().st_mode & 0o777 == 0o600
