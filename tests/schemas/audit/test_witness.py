"""A witness cosigns one history, and its cosignature says so to everybody."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audit.merkle import consistency_proof, grown
from schemas.audit.notes import (
    TreeHead,
    claimed_head,
    cosignature,
    cosigners,
    of_vkey,
    signed_head,
    verified_head,
    vkey,
)
from schemas.audit.witness import Offer, chosen, continued, parsed
from schemas.errors import HeadRefused
from schemas.wire.keys import SigningKey
from tests.schemas.audit.test_merkle import node_of

ORIGIN, NAME = "t/aggregator", "site/east/witness"
LOG, WITNESS = SigningKey.generate(), SigningKey.generate()
LEAVES = [str(one).encode() for one in range(12)]


def head(size: int, leaves: list[bytes] = LEAVES) -> TreeHead:
    return TreeHead(ORIGIN, size, grown(leaves[:size]).root())


def offer(old: int, size: int, leaves: list[bytes] = LEAVES) -> Offer:
    proof = consistency_proof(old, size, node_of(leaves)) if old else []
    return Offer(old, tuple(proof), signed_head(head(size, leaves), LOG))


def test_the_published_conversation_has_its_nine_statuses(shared_vectors: Path) -> None:
    path = shared_vectors / "witness-add-checkpoint-conversation.json"
    conversation = json.loads(path.read_text(encoding="utf-8"))
    key = base64.b64encode(bytes.fromhex(conversation["log_ed25519_public_key_hex"])).decode()
    origin = conversation["steps"][0]["body"].split("\n")[2]
    known: TreeHead | None = None
    statuses = []
    for step in conversation["steps"]:
        try:
            known = continued(parsed(step["body"]), known, origin=origin, key=key)
            statuses.append(200)
        except HeadRefused as refused:
            statuses.append(refused.status)
    assert statuses == [step["status"] for step in conversation["steps"]]
    assert len(statuses) == 9


@given(st.integers(0, 12), st.integers(0, 12))
def test_an_offer_is_read_back_and_continues_what_it_continues(old: int, size: int) -> None:
    old, size = min(old, size), max(old, size)
    made = offer(old, size)
    assert parsed(made.body()) == made
    known = head(old) if old else None
    assert continued(made, known, origin=ORIGIN, key=LOG.public) == head(size)


@pytest.mark.parametrize("size", range(1, 13))
@pytest.mark.parametrize("old", [1, 5, 12])
def test_another_history_is_a_fork_at_every_size(old: int, size: int) -> None:
    other = [b"x", *LEAVES[1:]]
    if size < old:
        with pytest.raises(HeadRefused, match="larger size than the head's"):
            continued(
                Offer(old, (), offer(0, size, other).note), head(old), origin=ORIGIN, key=LOG.public
            )
        return
    with pytest.raises(HeadRefused) as refused:
        continued(offer(old, size, other), head(old), origin=ORIGIN, key=LOG.public)
    assert refused.value.is_fork
    assert refused.value.message == (
        f"tree head refused: found a log of {size} events that does not continue the one of {old} "
        "events that was cosigned here"
    )


def test_a_stranger_another_origin_and_another_size_are_refused() -> None:
    table: list[tuple[dict[str, Any], int]] = [
        ({"key": WITNESS.public}, 403),
        ({"origin": "t/other"}, 403),
        ({"known": head(4)}, 409),
        ({"known": None}, 409),
    ]
    for changes, status in table:
        fields: dict[str, Any] = {"known": head(3), "origin": ORIGIN, "key": LOG.public} | changes
        with pytest.raises(HeadRefused) as refused:
            continued(offer(3, 7), fields.pop("known"), **fields)
        assert refused.value.status == status
        assert not refused.value.is_fork


@pytest.mark.parametrize("body", ["", "old\n\n", "old 01\n\n", "old 1\n*\n\n", "old 1\n" * 70])
def test_an_offer_of_another_form_is_refused(body: str) -> None:
    with pytest.raises(HeadRefused, match="an offer of another form"):
        parsed(body)


def test_the_offer_from_the_size_cosigned_last_is_chosen() -> None:
    offers = [offer(0, 9), offer(4, 9)]
    assert chosen(offers, 4) == offers[1]
    with pytest.raises(HeadRefused, match="no proof from the size cosigned last"):
        chosen(offers, 5)


@given(st.integers(0, 2**40))
def test_a_cosignature_is_of_its_name_key_time_and_text_alone(seconds: int) -> None:
    note = signed_head(head(7), LOG)
    whole = note + cosignature(note, name=NAME, key=WITNESS, seconds=seconds)
    assert cosigners(whole, {NAME: WITNESS.public}) == {NAME: seconds}
    assert verified_head(whole, origin=ORIGIN, key=LOG.public) == head(7) == claimed_head(whole)
    assert cosigners(whole, {NAME: LOG.public}) == {}
    assert cosigners(whole, {"site/west/witness": WITNESS.public}) == {}
    assert cosigners(whole.replace("\n7\n", "\n8\n", 1), {NAME: WITNESS.public}) == {}
    line = whole.rstrip("\n").rpartition(" ")[2]
    raw = bytearray(base64.b64decode(line))
    raw[5] ^= 1
    later = whole.replace(line, base64.b64encode(raw).decode())
    assert cosigners(later, {NAME: WITNESS.public}) == {}


def test_a_cosignature_is_made_as_the_specification_says() -> None:
    """The message is signed by hand here, from the text of c2sp.org/tlog-cosignature."""
    note = signed_head(head(3), LOG)
    text = note.partition("\n\n")[0] + "\n"
    line = cosignature(note, name=NAME, key=WITNESS, seconds=1_700_000_000)
    mark, name, encoded = line.rstrip("\n").split(" ")
    raw = base64.b64decode(encoded)
    assert (mark, name, len(raw)) == ("\u2014", NAME, 4 + 8 + 64)
    assert int.from_bytes(raw[4:12]) == 1_700_000_000
    assert raw[12:] == WITNESS.sign(f"cosignature/v1\ntime 1700000000\n{text}".encode())


def test_a_verifier_key_names_one_key_and_its_kind() -> None:
    for is_witness in (False, True):
        text = vkey(NAME, WITNESS.public, is_witness=is_witness)
        assert of_vkey(text) == (NAME, WITNESS.public)
    assert of_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    with pytest.raises(ValueError, match="unknown kind"):
        of_vkey(vkey(NAME, WITNESS.public).replace("site/east", "site/west"))
