"""A relay that may read, hold back, repeat, swap and write what it carries."""

from dataclasses import replace
from pathlib import Path

from deployment.embedded.federation import EmbeddedFederation
from schemas.audit.events import ReplyReceived
from schemas.update import Update
from schemas.wire.envelope import opened, signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from tests.desk import ONE_ROUND, attacked, quarantined
from tests.study import Tamper, made


def as_update(embedded: EmbeddedFederation, site: str, reply: Packet) -> Update:
    return opened(reply.envelope, Update, key=embedded.nodes[site].key.public)


def test_a_reply_forged_in_a_hospitals_name_is_left_out(tmp_path: Path) -> None:
    def forge(embedded: EmbeddedFederation) -> Tamper:
        own = SigningKey.generate()

        def forged(site: str, reply: Packet) -> Packet:
            if site != "north" or not reply.body:
                return reply
            return replace(reply, envelope=signed(as_update(embedded, site, reply), own))

        return forged

    assert quarantined(attacked(made(tmp_path, **ONE_ROUND), forge)) == [("north", "envelope")]


def test_another_enrolled_hospital_cannot_write_for_it_either(tmp_path: Path) -> None:
    def forge(embedded: EmbeddedFederation) -> Tamper:
        def forged(site: str, reply: Packet) -> Packet:
            if site != "north" or not reply.body:
                return reply
            west = embedded.nodes["west"].key
            return replace(reply, envelope=signed(as_update(embedded, site, reply), west))

        return forged

    assert quarantined(attacked(made(tmp_path, **ONE_ROUND), forge)) == [("north", "envelope")]


def test_an_update_of_an_earlier_round_is_left_out(tmp_path: Path) -> None:
    first: dict[str, Packet] = {}

    def replay(_: EmbeddedFederation) -> Tamper:
        def replayed(site: str, reply: Packet) -> Packet:
            return first.setdefault(site, reply) if site == "north" and reply.body else reply

        return replayed

    seen = attacked(made(tmp_path), replay)
    assert quarantined(seen) == [("north", "stale")]
    received = [one.round for one in seen if isinstance(one, ReplyReceived) and one.arrays]
    assert received.count(1) == 3
    assert received.count(2) == 2


def test_swapped_arrays_are_left_out(tmp_path: Path) -> None:
    def swap(_: EmbeddedFederation) -> Tamper:
        bodies: dict[str, bytes] = {}

        def swapped(site: str, reply: Packet) -> Packet:
            if not reply.body:
                return reply
            bodies[site] = reply.body
            return replace(reply, body=bodies["east"])

        return swapped

    seen = attacked(made(tmp_path, **ONE_ROUND, participation={"quorum": 1}), swap)
    assert quarantined(seen) == [("north", "envelope"), ("west", "envelope")]
