"""One event is proved without the others."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.audit.merkle import grown
from schemas.audit.notes import TreeHead, signed_head
from schemas.audit.proof import Proof, proof_of, read_proof
from schemas.errors import InputRefused, JournalDamaged
from schemas.wire.keys import SigningKey
from tests.schemas.audit.logs import KEY, ORIGIN, fact, journal, written


def test_every_event_of_a_log_is_proved_with_and_without_stored_nodes(tmp_path: Path) -> None:
    written(tmp_path, 21)
    lines = (tmp_path / "events.jsonl").read_bytes().split(b"\n")
    for _ in range(2):
        for index in range(21):
            proof = proof_of(tmp_path, index, origin=ORIGIN, key=KEY.public)
            assert proof.event == lines[index]
            assert read_proof(proof.text(), origin=ORIGIN, key=KEY.public) == proof
        for path in (tmp_path / "tree").iterdir():
            path.unlink()


def test_another_event_path_index_or_key_is_refused(tmp_path: Path) -> None:
    written(tmp_path, 9)
    proof = proof_of(tmp_path, 4, origin=ORIGIN, key=KEY.public)
    for other in (
        replace(proof, event=b"{}"),
        replace(proof, index=5),
        replace(proof, path=proof.path[1:]),
    ):
        with pytest.raises(JournalDamaged, match="its path does not lead"):
            read_proof(other.text(), origin=ORIGIN, key=KEY.public)
    with pytest.raises(InputRefused, match="none of the form"):
        read_proof("another file", origin=ORIGIN, key=KEY.public)
    moved = head_over([b"{}"])
    one = Proof(b"{}", 0, (), moved, signed_head(moved, KEY))
    with pytest.raises(JournalDamaged, match="stands at another place"):
        read_proof(one.text(), origin=ORIGIN, key=KEY.public)
    with pytest.raises(JournalDamaged):
        read_proof(proof.text(), origin=ORIGIN, key=SigningKey.generate().public)
    for index in (-1, 9):
        with pytest.raises(InputRefused, match=f"event {index} is not under the head of 9 events"):
            proof_of(tmp_path, index, origin=ORIGIN, key=KEY.public)


def head_over(lines: list[bytes]) -> TreeHead:
    return TreeHead(ORIGIN, len(lines), grown(lines).root())


def test_damaged_nodes_prove_nothing(tmp_path: Path) -> None:
    written(tmp_path, 9)
    path = tmp_path / "tree" / "nodes"
    path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(JournalDamaged, match="do not lead to the signed head"):
        proof_of(tmp_path, 4, origin=ORIGIN, key=KEY.public)


def test_a_long_log_is_opened_by_its_nodes_and_its_tail_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.audit.journal._READ_WHOLE_BYTES", 0)
    written(tmp_path, 12)
    head = (tmp_path / "head").read_bytes()
    with journal(tmp_path) as log:
        log.append(fact(12), fact(13))
    (tmp_path / "head").write_bytes(head)  # as after a crash: two events beyond the head
    with journal(tmp_path) as log:
        assert log.size == 14
        log.append(fact(14))
    (tmp_path / "tree" / "nodes").write_bytes(b"")
    with journal(tmp_path) as log:
        assert log.size == 15
        assert len(log.consistency(7, size=log.size)) > 0
    proof_of(tmp_path, 14, origin=ORIGIN, key=KEY.public)
