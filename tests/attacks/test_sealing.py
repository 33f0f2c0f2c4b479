"""Whoever carries a reply: it opens for nobody but the aggregator, and for no other request."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from aggregator.federation import make
from aggregator.federation import opened as opened_federation
from aggregator.material import read_material
from aggregator.protection.sealing import SealedExchange
from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.protection.sealing import sealed_answer
from hospital_node.session import answer
from schemas.audit.events import Facts, ReplyReceived, TurnedAway
from schemas.errors import EnvelopeRefused
from schemas.names import digest_of
from schemas.update import Update
from schemas.wire.arrays import declared_layout, header
from schemas.wire.envelope import opened, signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from schemas.wire.sealing import Recipient, SealedReply, public
from tests.desk import ONE_ROUND, desk, quarantined
from tests.study import made

LATER = "2026-11-20T10:00:00.001Z"
OnTheWay = Callable[[EmbeddedFederation, str, Packet], Packet]


@dataclass(frozen=True, slots=True)
class Line:
    """An exchange over sealed lines; what is on the way can be changed."""

    embedded: EmbeddedFederation
    change: OnTheWay

    def __call__(
        self, packet: Packet, sites: Sequence[str], *, deadline_s: float
    ) -> Iterator[tuple[str, Packet | None]]:
        del deadline_s
        for site in sites:
            reply = sealed_answer(answer, self.embedded.nodes[site], packet)
            yield site, self.change(self.embedded, site, reply)


def run_over(folder: Path, change: OnTheWay) -> list[Facts]:
    """Run one round over changed lines and return what was recorded."""
    study, seen = made(folder, **ONE_ROUND, participation={"quorum": 1}), list[Facts]()
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        exchange = SealedExchange(Line(embedded, change), embedded.federation)
        conduct(embedded.federation, name, exchange, seen.append)
    return seen


def test_nothing_of_a_reply_can_be_read_on_the_way(tmp_path: Path) -> None:
    carried: list[bytes] = []

    def listen(_: EmbeddedFederation, __: str, reply: Packet) -> Packet:
        carried.append(reply.envelope + reply.body + reply.seal)
        return reply

    seen = run_over(tmp_path, listen)
    assert sum(isinstance(one, ReplyReceived) for one in seen) == 6
    initial = read_material(tmp_path / "small.plan.toml").initial
    start = header(declared_layout(initial))
    assert initial.startswith(start)
    assert len(carried) >= 6
    assert not any(start in content for content in carried)


def test_a_reply_that_another_hospital_puts_its_name_to_is_left_out(tmp_path: Path) -> None:
    def renamed(embedded: EmbeddedFederation, site: str, reply: Packet) -> Packet:
        if site != "north":
            return reply
        vouched = opened(reply.seal, SealedReply, key=embedded.nodes[site].key.public)
        west = embedded.nodes["west"].key
        return replace(reply, seal=signed(vouched.model_copy(update={"site": "west"}), west))

    assert ("north", "envelope") in quarantined(run_over(tmp_path, renamed))


def test_a_ciphertext_that_is_not_the_signed_one_is_left_out(tmp_path: Path) -> None:
    def changed(_: EmbeddedFederation, site: str, reply: Packet) -> Packet:
        return replace(reply, body=reply.body[:-1] + b"\0") if site == "north" else reply

    assert ("north", "envelope") in quarantined(run_over(tmp_path, changed))


def test_a_sealed_reply_cannot_be_sent_again_for_the_next_request(tmp_path: Path) -> None:
    first: dict[str, Packet] = {}

    def repeated(_: EmbeddedFederation, site: str, reply: Packet) -> Packet:
        return first.setdefault(site, reply) if site == "north" else reply

    assert set(quarantined(run_over(tmp_path, repeated))) == {("north", "envelope")}


def test_an_open_reply_is_left_out(tmp_path: Path) -> None:
    def unsealed(embedded: EmbeddedFederation, site: str, reply: Packet) -> Packet:
        if site != "north":
            return reply
        del embedded
        return Packet(reply.seal, reply.body)

    assert ("north", "envelope") in quarantined(run_over(tmp_path, unsealed))


def test_a_site_that_is_not_joined_was_revoked_or_has_an_expired_key_is_not_asked(
    tmp_path: Path,
) -> None:
    """Its node may still be connected; nothing is sent there, and nobody waits for it."""
    end, asked = "2026-11-20T10:00:00.000Z", list[str]()

    def exchange(
        packet: Packet, sites: Sequence[str], *, deadline_s: float
    ) -> Iterator[tuple[str, Packet | None]]:
        del packet, deadline_s
        asked.extend(sites)
        yield from ((site, None) for site in sites)

    make(tmp_path / "home", federation="t")
    with opened_federation(tmp_path / "home", clock=lambda: end) as federation:
        for site, until in (("north", end), ("south", None), ("west", None), ("east", LATER)):
            keys = (SigningKey.generate().public for _ in range(2))
            federation.enrol(site, *keys, until=until)
        federation.revoke("west")
        sites = ["north", "south", "west", "east", "stranger"]
        sealed = SealedExchange(exchange, federation)
        answers = dict(sealed(Packet(b"{}"), sites, deadline_s=1.0))
    assert asked == ["south", "east"]
    assert answers == dict.fromkeys(sites)


def test_nobody_can_have_replies_sealed_to_a_key_of_their_own(tmp_path: Path) -> None:
    with desk(tmp_path, **ONE_ROUND) as one:
        packet, key = one.packet(), public(X25519PrivateKey.generate())
        service, north = one.embedded.federation.key, one.embedded.nodes["north"].key
        asked = digest_of(packet.envelope)
        mine = Recipient(federation="t", request=asked, key=key)
        for seal in (b"", signed(mine, north)):
            with pytest.raises(EnvelopeRefused):
                sealed_answer(answer, one.node, replace(packet, seal=seal))
        for other in (
            mine.model_copy(update={"request": digest_of(b"another")}),
            mine.model_copy(update={"federation": "u"}),
        ):
            with pytest.raises(EnvelopeRefused, match="is for another request"):
                sealed_answer(answer, one.node, replace(packet, seal=signed(other, service)))
        assert len(one.facts(TurnedAway)) == 4
        reply = sealed_answer(answer, one.node, replace(packet, seal=signed(mine, service)))
        with pytest.raises(EnvelopeRefused):
            opened(reply.envelope, Update, key=one.node.key.public)
