"""Whoever may write to a silo's disk while nobody looks."""

from collections.abc import Callable
from pathlib import Path

import pytest

import aggregator.cli
from aggregator.runs import conduct
from schemas.audit.events import ReplyReceived
from schemas.command_line import run
from schemas.errors import CheckpointDamaged, HomeRefused
from tests.desk import desk
from tests.study import Direct, command, ingest, made

Lines = list[bytes]

CHANGES: dict[str, Callable[[Lines], Lines]] = {
    "one byte": lambda lines: [lines[0].replace(b"home-made", b"home-mode"), *lines[1:]],
    "a dropped first line": lambda lines: lines[1:],
    "a dropped last line": lambda lines: lines[:-1],
    "two lines exchanged": lambda lines: [lines[1], lines[0], *lines[2:]],
    "a line written twice": lambda lines: [lines[0], *lines],
    "nothing left": lambda _: [],
}


def test_a_changed_journal_is_refused_by_verification_and_by_work(tmp_path: Path) -> None:
    study = made(tmp_path)
    home = study.nodes["east"]
    events = home / "journal" / "events.jsonl"
    command("audit", "verify", "--home", home)
    lines = events.read_bytes().splitlines(keepends=True)
    for story, change in CHANGES.items():
        changed = b"".join(change(lines))
        events.write_bytes(changed)
        command("audit", "verify", "--home", home, expect=7)
        ingest(study, "east", expect=7)
        assert events.read_bytes() == changed, story


def test_a_changed_journal_of_the_aggregator_is_refused(tmp_path: Path) -> None:
    study = made(tmp_path)
    events = study.aggregator / "journal" / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"sequence":0', b'"sequence":1'))
    assert run(aggregator.cli.app, ["audit", "verify", "--home", str(study.aggregator)]) == 7


def test_a_changed_model_ends_the_run_and_is_not_sent(tmp_path: Path) -> None:
    study = made(tmp_path)
    with study.opened() as embedded:
        federation = embedded.federation
        name = study.started(federation)
        arrays = study.parsed().initial.arrays or ""
        path = next((study.aggregator / "checkpoints").rglob(f"{arrays[7:]}.safetensors"))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)
        seen: list[object] = []
        with pytest.raises(CheckpointDamaged):
            conduct(federation, name, Direct(embedded.nodes), seen.append)
        assert not [one for one in seen if isinstance(one, ReplyReceived)]


def test_a_changed_image_is_not_trained_on(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        pixels = next(one.node.cohort_folder.rglob("pixels.npy"))
        content = bytearray(pixels.read_bytes())
        content[-1] ^= 1
        pixels.chmod(0o600)
        pixels.write_bytes(content)
        assert one.refused() == "cohort-unfit"
        assert one.spent() == 0


def test_a_key_that_others_can_read_leaves_its_hospital_out(tmp_path: Path) -> None:
    study = made(tmp_path)
    for name, mode in (("signing", 0o644), ("signing", 0o640), ("pseudonym", 0o604)):
        key = study.nodes["east"] / "keys" / name
        key.chmod(mode)
        with study.opened() as embedded:
            assert sorted(embedded.nodes) == ["north", "west"]
            (error,) = embedded.left_out
        key.chmod(0o600)
        assert isinstance(error, HomeRefused)
        assert error.message == (
            f"east is left out: key refused: {name} has mode {mode:04o}, only 0600 is allowed"
        )


def test_a_stored_reply_that_was_changed_is_not_sent_and_not_made_again(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        one.answer(one.packet())
        spent = one.spent()
        path = next(one.node.home.replies.rglob("*-train"))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)
        assert one.refused() == "unavailable"
        assert one.spent() == spent > 0
