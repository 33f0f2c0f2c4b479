"""An aggregator that wants one hospital's update opened although the plan encrypts it.

It signs whatever requests it likes and hands on what it likes. Each test asks a real node. That any
one hospital can open what it is handed is no attack: it has the key, and the docs say so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from aggregator.federation import opened as opened_federation
from aggregator.runs import conduct
from hospital_node.node import Node
from hospital_node.protection import apart
from schemas.audit.events import Facts, SumLost, SumOpened
from schemas.errors import EnvelopeRefused, QuorumLost
from schemas.names import SiteName, digest_of
from schemas.protection.messages import (
    REPLIES,
    Announcement,
    Ciphertexts,
    Deal,
    ExchangeReply,
    Opening,
    Settlement,
    framed,
    unframed,
)
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.packet import Packet
from tests.encrypted import ENCRYPTED
from tests.masked import FOUR, begun, made_of_four
from tests.study import Direct
from tests.tapped import Attacked, Restarting, round_before

R = TypeVar("R", bound=ExchangeReply)
THREE = ("east", "north", "south")
FOREIGN = "its signature is not of the expected key"
NOT_OURS = "is of another site or attempt"


def word(attacked: Attacked, of: SiteName, kind: type[R]) -> R:
    """Return what a site signed in the exchange before."""
    (exchange,) = [name for name, answer in REPLIES.items() if answer is kind]
    envelope = attacked.tapped.answers[exchange][of].envelope
    return opened(envelope, kind, key=attacked.embedded.nodes[of].key.public)


def resigned(attacked: Attacked, record: ExchangeReply, by: SiteName = "") -> bytes:
    """Sign a record as a site, or under the only key that the aggregator has."""
    federation = attacked.embedded.federation
    return signed(record, attacked.embedded.nodes[by].key if by else federation.key)


def put(parts: Sequence[bytes], place: int, *new: bytes) -> bytes:
    """Put something else beside a request, in the place of some parts."""
    return framed([*parts[:place], *new, *parts[place + len(new) :]])


def test_a_key_that_another_made_or_changed_is_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "encrypt", ENCRYPTED) as attacked:
        deal, boxes = unframed(attacked.packet.body)
        found = word(attacked, "east", Deal)
        forged = resigned(attacked, found.model_copy(update={"key": digest_of(b"")}))
        attacked.refused(FOREIGN, "north", body=framed([forged, boxes]))
        changed = bytes([boxes[0] ^ 1]) + boxes[1:]
        told = "the boxes are not those that their maker signed"
        attacked.refused(told, "north", body=framed([deal, changed]))
        attacked.refused("not one deal and its boxes", "north", body=framed([deal]))
        for changes in ({"attempt": 2}, {"round": 2}, {"run": "other"}):
            other = resigned(attacked, found.model_copy(update=changes), "east")
            attacked.refused(NOT_OURS, "north", body=framed([other, boxes]))
        second = attacked.tapped.answers["deal"]["north"]
        attacked.refused(told, "south", body=framed([second.envelope, b""]), participants=FOUR[1:])
        assert attacked.answered("north", attacked.packet).body


def test_a_swapped_key_to_seal_to_is_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "deal", ENCRYPTED) as attacked:
        cards = unframed(attacked.packet.body)
        found = word(attacked, "north", Announcement)
        swapped = found.model_copy(update={"sealing": "09" + "00" * 31})
        attacked.refused(FOREIGN, body=put(cards, 1, resigned(attacked, swapped)))
        attacked.refused(
            "2 sites are left, at least 3 are needed", body=framed(cards[:2]), participants=FOUR[:2]
        )
        attacked.refused("the plan does not mask", exchange="advertise", request="other")
        assert attacked.answered("east", attacked.packet).body


def test_one_sites_ciphertexts_are_never_taken_for_a_sum(tmp_path: Path) -> None:
    with round_before(tmp_path, "settle", ENCRYPTED) as attacked:
        parts = unframed(attacked.packet.body)
        for sites in (FOUR[:1], FOUR[:2]):
            reason = f"{len(sites)} sites are left, at least 3 are needed"
            attacked.refused(reason, body=framed(parts[: 2 * len(sites)]), participants=sites)
        alone: dict[str, Any] = {"body": framed(parts[2:4]), "participants": FOUR[1:2]}
        with pytest.raises(EnvelopeRefused, match="it does not name this site"):
            attacked.asked(**alone)
        both = put(parts, 2, *parts[:2])
        attacked.refused(FOREIGN, body=both)
        asked: dict[str, Any] = {"exchange": "open", "request": "other"}
        settlement = Settlement(
            **attacked.request(request="other").model_dump(
                include={"federation", "run", "plan", "round", "request"}
                | {"purpose", "model", "attempt"}
            ),
            site="north",
            head=word(attacked, "north", Ciphertexts).head,
            inputs={"north": digest_of(parts[3])},
            total=digest_of(parts[3]),
        )
        own = settlement.model_copy(update={"site": "east"})
        words = framed([resigned(attacked, own), resigned(attacked, settlement)])
        attacked.refused(FOREIGN, body=words, participants=FOUR[:2], **asked)
        words = framed([resigned(attacked, settlement, "north")] * 3)
        attacked.refused(FOREIGN, body=words, participants=THREE, **asked)
        own_words = [
            resigned(attacked, settlement.model_copy(update={"site": one}), one) for one in THREE
        ]
        attacked.refused(
            "this site has agreed to no sum", body=framed(own_words), participants=THREE, **asked
        )


def test_inputs_that_are_not_the_sites_own_are_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "settle", ENCRYPTED) as attacked:
        parts = unframed(attacked.packet.body)
        found = word(attacked, "north", Ciphertexts)
        for changes in ({"round": 2}, {"run": "other"}, {"attempt": 2}, {"model": found.arrays}):
            other = resigned(attacked, found.model_copy(update=changes), "north")
            attacked.refused(NOT_OURS, body=put(parts, 2, other))
        attacked.refused(FOREIGN, body=put(parts, 2, resigned(attacked, found)))
        told = "the ciphertexts of north are not those that it signed"
        attacked.refused(told, body=put(parts, 3, parts[1]))
        other_key = found.model_copy(update={"key": digest_of(b"another")})
        attacked.refused(
            "north has encrypted under another key",
            body=put(parts, 2, resigned(attacked, other_key, "north")),
        )
        copied = resigned(
            attacked, found.model_copy(update={"arrays": digest_of(parts[5])}), "north"
        )
        attacked.refused("the same ciphertexts stand twice", body=put(parts, 2, copied, parts[5]))
        own = word(attacked, "east", Ciphertexts).model_copy(update={"arrays": found.arrays})
        attacked.refused(
            "this site's own ciphertexts were altered",
            body=put(parts, 0, resigned(attacked, own, "east"), parts[3]),
        )
        for content in (b"", framed([b"no ciphertext"]), framed(unframed(parts[3])[:1])):
            named = found.model_copy(update={"arrays": digest_of(content)})
            body = put(parts, 2, resigned(attacked, named, "north"), content)
            attacked.refused("the ciphertexts of north are malformed", body=body)
        assert kind_of(attacked.answered("east", attacked.packet).envelope) == "Settlement"


def test_a_site_settles_for_one_sum_of_a_round(tmp_path: Path) -> None:
    with round_before(tmp_path, "settle", ENCRYPTED) as attacked:
        parts = unframed(attacked.packet.body)
        three = framed(parts[:6])
        reply = attacked.asked(body=three, participants=THREE)
        assert kind_of(reply.envelope) == Settlement.__name__
        attacked.refused("was asked by another request, one is allowed", participants=FOUR)
        again: dict[str, Any] = {"attempt": 2, "request": "again"}
        attacked.refused("has agreed to a sum of this round already", exchange="announce", **again)
        # The others settle for all four: no site opens either sum.
        words = {
            site: attacked.answered(site, attacked.packet).envelope for site in ("north", "south")
        }
        split = framed([reply.envelope, *words.values()])
        asked: dict[str, Any] = {"exchange": "open", "request": "split", "participants": THREE}
        for site in THREE:
            attacked.refused("has agreed to the sum of other inputs", site, body=split, **asked)


def test_a_sum_is_opened_once_and_after_enough_sites_have_settled(tmp_path: Path) -> None:
    with round_before(tmp_path, "open", ENCRYPTED) as attacked:
        words = unframed(attacked.packet.body)
        two = framed(words[:2])
        attacked.refused("2 sites agree to the sum, 3 are needed", body=two, participants=FOUR[:2])
        found = word(attacked, "north", Settlement)
        other = found.model_copy(update={"total": digest_of(b"another sum")})
        attacked.refused(FOREIGN, body=put(words, 1, resigned(attacked, other)))
        attacked.refused(
            "north has added the same inputs up to another sum",
            body=put(words, 1, resigned(attacked, other, "north")),
        )
        first = attacked.answered("east", attacked.packet)
        assert kind_of(first.envelope) == Opening.__name__
        assert attacked.answered("east", attacked.packet) == first
        home = attacked.embedded.nodes["east"].home.sums
        kept = {path.name for path in home.rglob("*") if path.is_file()}
        assert not kept & {"key", "total", "value", "cipher-part.json"}
        attacked.refused(
            "was asked by another request", body=framed(words[:3]), participants=FOUR[:3]
        )
        again: dict[str, Any] = {"attempt": 2, "body": b"", "request": "again"}
        attacked.refused("has no value of round 1 to give", exchange="announce", **again)
        attacked.refused("takes part in no attempt of round 1", exchange="settle", **again)


def test_no_ciphertext_or_key_tells_the_aggregator_an_update(tmp_path: Path) -> None:
    with round_before(tmp_path, "settle", ENCRYPTED) as attacked:
        node = attacked.embedded.nodes["east"]
        (value,) = node.home.sums.rglob("value")
        (key,) = node.home.sums.rglob("key")
        plain, secret = value.read_bytes()[-400:], key.read_bytes()
        assert apart.decrypted(secret, unframed(unframed(attacked.packet.body)[1]), 4099).any()
        for answers in attacked.tapped.answers.values():
            for reply in answers.values():
                assert plain not in reply.body
                assert secret[1000:1400] not in reply.body
        assert (key.stat().st_mode & 0o777, value.stat().st_mode & 0o777) == (0o600, 0o600)


@dataclass
class Lying:
    """An exchange in which one site signs another message than it should."""

    nodes: dict[SiteName, Node]
    kind: type[Settlement | Opening]
    site: SiteName = "north"

    def __call__(
        self, packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        for site, reply in Direct(self.nodes)(packet, sites, deadline_s=deadline_s):
            assert reply is not None
            if site != self.site or kind_of(reply.envelope) != self.kind.__name__:
                yield site, reply
                continue
            node = self.nodes[site]
            found = opened(reply.envelope, self.kind, key=node.key.public)
            body = bytes(one ^ 1 for one in reply.body)
            name = "arrays" if reply.body else "total"
            lie = found.model_copy(update={name: digest_of(body)})
            yield site, replace(reply, envelope=signed(lie, node.key), body=body)


@pytest.mark.parametrize("kind", [Settlement, Opening])
def test_sites_that_differ_about_the_sum_abandon_the_round(
    tmp_path: Path, kind: type[Settlement | Opening]
) -> None:
    seen: list[Facts] = []
    with begun(made_of_four(tmp_path, **ENCRYPTED)) as (embedded, name):
        for exchange in (Lying(embedded.nodes, kind), Direct(embedded.nodes)):
            with pytest.raises(QuorumLost, match="0 usable updates came"):
                conduct(embedded.federation, name, exchange, seen.append)
    lost = [one.exchange for one in seen if isinstance(one, SumLost)]
    assert lost == ["settle" if kind is Settlement else "open"] * 2
    assert not [one for one in seen if isinstance(one, SumOpened)]


def test_nodes_that_restart_between_all_exchanges_open_the_sum(tmp_path: Path) -> None:
    seen: list[Facts] = []
    study = made_of_four(tmp_path, **ENCRYPTED)
    with begun(study) as (_, run):
        homes = study.nodes
    with opened_federation(study.aggregator) as federation:
        conduct(federation, run, Restarting(homes), seen.append)
    (found,) = [one for one in seen if isinstance(one, SumOpened)]
    assert tuple(sorted(found.openings)) == FOUR
