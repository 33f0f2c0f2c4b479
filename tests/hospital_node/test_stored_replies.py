"""Stored replies: kept whole before they leave, repeated to the byte, and lost at no charge."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hospital_node.privacy.ledger import Ledger
from hospital_node.replies import Replies, Slot
from schemas.audit.events import ReplySent, Settled
from schemas.names import digest_of
from schemas.update import Update
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from tests.desk import desk

BOUND: dict[str, Any] = {
    "federation": "t",
    "run": "a",
    "plan": digest_of(b"plan"),
    "round": 3,
    "request": "a.3.train",
}


def test_slots_of_runs_and_purposes_are_apart(tmp_path: Path) -> None:
    replies, key = Replies(tmp_path), SigningKey.generate()
    update = Update(**BOUND, site="east", head="head", arrays=digest_of(b"body"), privacy=None)
    reply = Packet(signed(update, key), b"body")
    replies.store(Slot("a", 3, "train"), b"request", reply)
    assert replies.stored(Slot("a", 3, "evaluate"), b"request", key=key.public) is None
    assert replies.stored(Slot("b", 3, "train"), b"request", key=key.public) is None
    assert replies.stored(Slot("a", 3, "train"), b"request", key=key.public) == reply
    assert (replies.last_round("a", "train"), replies.last_round("a", "evaluate")) == (3, 0)


def test_a_reply_stored_before_a_crash_is_noted_and_made_final_when_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes between the reply on disk and the line that says it leaves."""

    def cut(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with desk(tmp_path, private=True) as one:
        with monkeypatch.context() as power:
            power.setattr("hospital_node.session.conclude", cut)
            with pytest.raises(OSError, match="Input/output"):
                one.answer(one.packet())
        assert one.facts(ReplySent) == []
        first = one.answer(one.packet())
        assert [sent.reply for sent in one.facts(ReplySent)] == [digest_of(first.envelope)]
        assert [settled.outcome for settled in one.facts(Settled)] == ["committed"]
        assert one.answer(one.packet()) == first
        assert (len(one.facts(ReplySent)), len(one.facts(Settled))) == (1, 1)
        with Ledger(one.node.home.ledger) as ledger:
            assert [row.status for row in ledger.rows()] == ["reserved", "committed"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "its first line": lambda content: b"?" + content[1:],
    "its signature": lambda content: content.replace(b'"signature":"', b'"signature":"A', 1)[:-1],
    "its arrays": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "its end": lambda content: content[:-1],
    "everything": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_stored_reply_never_leaves_and_is_this_sites_trouble(
    tmp_path: Path, damage: str
) -> None:
    with desk(tmp_path, private=True) as one:
        first = one.answer(one.packet())
        [path] = one.node.home.replies.rglob("*-train")
        content = path.read_bytes()
        path.write_bytes(DAMAGES[damage](content))
        assert one.asked().code == "unavailable"
        path.write_bytes(content)
        assert one.answer(one.packet()) == first


def test_a_committed_release_whose_reply_is_lost_is_never_made_again(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        one.asked()
        next(one.node.home.replies.rglob("*-train")).unlink()
        assert one.asked().code == "request-invalid"


def test_a_crash_before_the_reply_was_stored_keeps_the_charge_and_pays_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with desk(tmp_path, private=True) as one:
        with monkeypatch.context() as disk:
            disk.setattr(Replies, "store", full)
            with pytest.raises(OSError, match="No space"):
                one.answer(one.packet())
        spent = one.spent()
        assert spent > 0
        assert isinstance(one.asked(), Update)
        assert one.spent() == spent
