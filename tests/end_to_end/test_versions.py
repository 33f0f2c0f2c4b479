"""Two sides that speak different versions of the messages: each says which, and nothing is lost."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import aggregator.cli
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.node import Node
from hospital_node.protection.sealing import sealed_answer
from hospital_node.refusals import Reason
from hospital_node.session import answer
from schemas.audit.events import Facts, Quarantined, ReplyReceived, RoundMoved, TurnedAway
from schemas.command_line import run
from schemas.names import digest_of
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet
from schemas.wire.sealing import Recipient, SealedReply, public
from schemas.wire.version import MESSAGES_VERSION
from tests.attacks.test_sealing import run_over
from tests.desk import desk

OLDER, NEWER = "0.9", "1.1"


@pytest.mark.parametrize("other", [OLDER, NEWER])
def test_a_node_names_both_versions_charges_nothing_and_says_which_it_speaks(
    tmp_path: Path, other: str
) -> None:
    with desk(tmp_path, private=True) as one:
        strange = Packet(b'{"a form": "that this version does not know"}')
        key, asked = public(X25519PrivateKey.generate()), digest_of(strange.envelope)
        recipient = Recipient(version=other, federation="t", request=asked, key=key)
        packet = replace(strange, seal=signed(recipient, one.embedded.federation.key))
        reply = sealed_answer(answer, one.node, packet)
        said = opened(reply.seal, SealedReply, key=one.node.key.public)
        assert said.version == MESSAGES_VERSION
        assert one.spent() == 0
        assert one.facts(TurnedAway) == [
            TurnedAway(what="request", reason="of-another-version", count=1)
        ]
        assert noted_in_full(one.node) == (
            f"message refused: the aggregator speaks version {other} of the messages, "
            f"this node speaks {MESSAGES_VERSION}; both must speak the same"
        )


def noted_in_full(node: Node) -> str:
    """Return why the node turned its last request away, as its journal's private part has it."""
    events = [one for one in node.journal.events() if isinstance(one.facts, TurnedAway)]
    name = str(events[-1].private).removeprefix("sha256:")
    return Reason.from_canonical((node.home.journal / "private" / name).read_bytes()[32:]).message


def of_another_version(
    embedded: EmbeddedFederation, site: str, reply: Packet, version: str
) -> Packet:
    """Answer as a node of another version does; what is sealed has a form unknown here."""
    node = embedded.nodes[site]
    vouched = opened(reply.seal, SealedReply, key=node.key.public)
    body = b"a form that this version does not know"
    told = {"version": version, "ciphertext": digest_of(body)}
    return Packet(b"", body, signed(vouched.model_copy(update=told), node.key))


def told_by_status(home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run(aggregator.cli.app, ["status", "--home", str(home), "--json"]) == 0
    [north] = [
        one for one in json.loads(capsys.readouterr().out)["members"] if one["site"] == "north"
    ]
    assert isinstance(north["version"], str)
    return north["version"]


@pytest.mark.parametrize("other", [OLDER, NEWER])
def test_an_aggregator_goes_on_without_the_site_and_its_journal_and_status_name_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    def replied(embedded: EmbeddedFederation, site: str, reply: Packet) -> Packet:
        return of_another_version(embedded, site, reply, other) if site == "north" else reply

    seen = run_over(tmp_path, replied)
    reason = (
        f"message refused: north speaks version {other} of the messages, "
        f"this aggregator speaks {MESSAGES_VERSION}; both must speak the same"
    )
    left_out = [one for one in seen if isinstance(one, Quarantined)]
    assert {(one.site, one.check, one.reason) for one in left_out} == {("north", "version", reason)}
    assert sites(seen) == {"east", "west"}
    assert "accepted" in {one.target for one in seen if isinstance(one, RoundMoved)}
    assert told_by_status(tmp_path / "aggregator", capsys) == reason


def test_once_the_site_speaks_the_same_it_takes_part_and_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def replied(embedded: EmbeddedFederation, site: str, reply: Packet) -> Packet:
        if site != "north" or asked:
            return reply
        asked.append(site)
        return of_another_version(embedded, site, reply, OLDER)

    seen = run_over(tmp_path, replied)
    assert [one.check for one in seen if isinstance(one, Quarantined)] == ["version"]
    assert "north" in sites(seen)
    assert not told_by_status(tmp_path / "aggregator", capsys)


def sites(seen: list[Facts]) -> set[str]:
    return {one.site for one in seen if isinstance(one, ReplyReceived)}
