"""What was appended stays, and what was changed is found."""

import stat
from hashlib import sha256
from pathlib import Path

import pytest

from schemas.audit.journal import verified
from schemas.audit.lines import read_events, read_facts
from schemas.audit.merkle import grown
from schemas.base import Record
from schemas.errors import JournalDamaged
from schemas.names import Text
from schemas.wire.keys import SigningKey
from tests.schemas.audit.logs import KEY, ORIGIN, fact, journal, numbers, size_of, written

DIFFER = "journal refused: found events that differ from the signed tree head"


class Detail(Record):
    """What stays at the site."""

    reason: Text


def found_by_both(folder: Path, message: str = DIFFER) -> None:
    """Opening and verifying refuse, and neither touches a file."""
    before = contents(folder)
    with pytest.raises(JournalDamaged) as refused, journal(folder):
        pytest.fail("opened")
    assert refused.value.message == message
    assert refused.value.next_step.startswith(("stop, keep the files", "keep the files"))
    with pytest.raises(JournalDamaged) as refused:
        verified(folder, origin=ORIGIN, key=KEY.public)
    assert refused.value.message == message
    assert contents(folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_journal_goes_on_where_it_was_left(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "journal"
    with journal(folder) as log:
        assert log.size == 0
        log.append(fact(0), fact(1))
        assert log.size == 2
    with journal(folder) as log:
        assert log.size == 2
        log.append(fact(2))
        assert [one.facts for one in log.events()] == [fact(0), fact(1), fact(2)]
    assert numbers(folder) == [0, 1, 2]
    assert size_of(folder) == 3


def test_a_leaf_is_a_stored_line(tmp_path: Path) -> None:
    lines = (written(tmp_path) / "events.jsonl").read_bytes().splitlines()
    head = verified(tmp_path, origin=ORIGIN, key=KEY.public)
    assert head.root == grown(lines).root()


def test_what_was_read_before_is_read_again_as_it_is_now(tmp_path: Path) -> None:
    events = written(tmp_path) / "events.jsonl"
    kind = type(fact(0))
    before = list(read_facts(tmp_path, kind))
    assert list(read_facts(tmp_path, kind)) == before
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join(lines[:-1]))
    assert list(read_facts(tmp_path, kind)) == before[:-1]
    events.write_bytes(b"".join(lines).replace(b'"kind":"', b'"kind": "'))
    assert list(read_facts(tmp_path, kind)) == []
    events.write_bytes(lines[0].replace(b'{"', b'{ "', 1))
    with pytest.raises(JournalDamaged, match="not in canonical form"):
        list(read_facts(tmp_path, kind))


def test_an_event_is_read_by_others_before_the_head_is_signed(tmp_path: Path) -> None:
    with journal(tmp_path) as log:
        log.append(fact(0))
        assert numbers(tmp_path) == [0]
        assert size_of(tmp_path) == 0
        log.seal()
        assert size_of(tmp_path) == 1


def test_a_new_journal_has_a_signed_head_before_its_first_event(tmp_path: Path) -> None:
    with journal(tmp_path / "journal"):
        assert size_of(tmp_path / "journal") == 0


def test_a_sealed_line_that_tore_is_found_and_left_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, 1) / "events.jsonl"
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        found_by_both(tmp_path)


def test_every_change_of_a_sealed_byte_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, 2) / "events.jsonl"
    whole = path.read_bytes()
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0x01
        path.write_bytes(broken)
        found_by_both(tmp_path)
    for place in range(0, len(whole), 3):
        if whole[place : place + 1] != b"\n":
            path.write_bytes(whole[:place] + b"\n" + whole[place + 1 :])
            found_by_both(tmp_path)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 2, 1], [0, 2], [1, 2], [0, 0, 1, 2], []])
def test_sealed_lines_can_be_neither_moved_nor_taken_nor_repeated(
    tmp_path: Path, order: list[int]
) -> None:
    path = written(tmp_path) / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in order))
    found_by_both(tmp_path)


def test_a_missing_file_of_events_is_found(tmp_path: Path) -> None:
    (written(tmp_path) / "events.jsonl").unlink()
    found_by_both(tmp_path)


@pytest.mark.parametrize("count", [1, 3])
def test_events_without_a_head_are_refused(tmp_path: Path, count: int) -> None:
    (written(tmp_path, count) / "head").unlink()
    with pytest.raises(JournalDamaged) as refused, journal(tmp_path):
        pytest.fail("opened")
    assert refused.value.message == ("journal refused: found events without a signed tree head")
    with pytest.raises(JournalDamaged) as refused:
        verified(tmp_path, origin=ORIGIN, key=KEY.public)
    assert refused.value.message == "journal refused: found no signed tree head"


def test_every_change_of_the_head_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path) / "head"
    whole = path.read_bytes()
    text = len(whole.partition(b"\n\n")[0]) + 1
    for place in range(text):
        for flip in (0x01, 0x07, 0x80):
            broken = bytearray(whole)
            broken[place] ^= flip
            path.write_bytes(broken)
            with pytest.raises(JournalDamaged), journal(tmp_path):
                pytest.fail("opened")
            with pytest.raises(JournalDamaged):
                verified(tmp_path, origin=ORIGIN, key=KEY.public)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    with pytest.raises(JournalDamaged):
        verified(tmp_path, origin=ORIGIN, key=KEY.public)


def test_a_head_of_another_key_or_log_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    with (
        pytest.raises(JournalDamaged, match="without a valid signature of the expected key"),
        journal(tmp_path, key=SigningKey.generate()),
    ):
        pytest.fail("opened")
    with (
        pytest.raises(JournalDamaged, match="no tree head of the expected origin"),
        journal(tmp_path, origin="site/west"),
    ):
        pytest.fail("opened")


def test_an_event_beyond_the_head_that_is_no_event_is_refused_when_read(tmp_path: Path) -> None:
    with (written(tmp_path) / "events.jsonl").open("ab") as file:
        file.write(b'{"sequence": 3}\n')
    with pytest.raises(JournalDamaged) as refused:
        list(read_events(tmp_path))
    assert refused.value.message == (
        "journal refused: found an event that is not in canonical form"
    )


def test_no_event_is_read_from_a_folder_that_holds_none(tmp_path: Path) -> None:
    assert list(read_events(tmp_path / "absent")) == []


def test_private_details_are_committed_to_and_can_be_erased(tmp_path: Path) -> None:
    with journal(tmp_path) as log:
        log.append(fact(0), fact(1), private=Detail(reason="two masks"))
        log.append(fact(2), private=Detail(reason="two masks"))
    first, second, third = read_events(tmp_path)
    assert first.private is None
    assert second.private is not None
    assert second.private != third.private, "the salt hides that the details are equal"
    private = tmp_path / "private"
    path = private / second.private.removeprefix("sha256:")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert f"sha256:{sha256(content).hexdigest()}" == second.private
    assert Detail.from_canonical(content[32:]) == Detail(reason="two masks")
    assert b"two masks" not in (tmp_path / "events.jsonl").read_bytes()
    for one in private.iterdir():
        one.unlink()
    private.rmdir()
    with journal(tmp_path) as log:
        log.append(fact(3))
    assert size_of(tmp_path) == 4
    assert numbers(tmp_path) == [0, 1, 2, 3]
