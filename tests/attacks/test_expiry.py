"""A key whose time ends while the relay serves."""

import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from aggregator.config import AggregatorHome
from aggregator.door import Door
from aggregator.federation import make
from aggregator.flower.link import link_factory
from aggregator.flower.serving import admit_always
from schemas.enrolment import Roster
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from tests.attacks.ports import NOW, member, until
from tests.deployed import PATIENCE_S

END = "2026-11-20T10:00:00.000Z"


@pytest.mark.parametrize("is_unreadable", [False, True])
def test_a_node_whose_key_expires_while_the_relay_serves_is_not_let_in_any_more(
    tmp_path: Path, *, is_unreadable: bool
) -> None:
    """Neither does it matter that nobody touches the roster then, or that somebody spoils it."""
    make(tmp_path / "home", federation="t")
    home, over, at = AggregatorHome(tmp_path / "home"), threading.Event(), NOW
    north, south = (generate_private_key(SECP384R1()) for _ in range(2))
    roster = Roster(
        federation="t",
        serial=2,
        aggregator=SigningKey.load(home.service_key).public,
        members=(member("north", north, until=END), member("south", south)),
    )
    home.roster.write_bytes(signed(roster, SigningKey.load(home.root_key)))
    factory = link_factory(home.link)
    state = factory.state()

    def is_in(key: bytes) -> bool:
        return state.get_node_id_by_public_key(key) is not None

    keys = [public_key_to_bytes(one.public_key()) for one in (north, south)]
    thread = threading.Thread(
        target=admit_always,
        args=(factory, home, Door(), over),
        kwargs={"clock": lambda: at},
        daemon=True,
    )
    thread.start()
    try:
        until(lambda: all(is_in(one) for one in keys))
        if is_unreadable:
            home.roster.write_bytes(b"\xff")
        at = END
        until(lambda: not is_in(keys[0]))
        assert is_in(keys[1])
    finally:
        over.set()
        thread.join(PATIENCE_S)
