"""An aggregator that asks twice, cuts the power between two lines, or has one hospital speak twice.

Each exchange of an attempt has one answer at a node, and the last one leaves nothing behind.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hospital_node.protection.room import Room
from hospital_node.replies import Replies
from schemas.names import SiteName, digest_of
from schemas.protection.messages import (
    EXCHANGES,
    REPLIES,
    Exchange,
    framed,
    unframed,
)
from schemas.wire.envelope import kind_of, opened, signed
from tests.encrypted import ENCRYPTED, PowerCutError
from tests.masked import MASKED
from tests.tapped import Attacked, round_before

PLANS: Mapping[str, dict[str, Any]] = {"masked": MASKED, "encrypted": ENCRYPTED}
LAST: dict[str, Exchange] = {"masked": "unmask", "encrypted": "open"}
KEPT = {
    "masked": {"part.json", "value"},
    "encrypted": {"cipher-part.json", "value", "key", "total"},
}
EACH = [(kind, one) for kind, order in EXCHANGES.items() for one in order]


def kept(attacked: Attacked, site: SiteName = "east") -> set[str]:
    """Return what stands in a site's rooms, but for its stored replies."""
    home = attacked.embedded.nodes[site].home.sums
    found = (path for path in home.rglob("*") if path.is_file())
    return {path.name for path in found if "replies" not in path.parts}


@contextmanager
def cut(kind: type, name: str) -> Iterator[None]:
    """End the work where a method is called, before it does anything."""

    def power_cut(*_: object) -> None:
        raise PowerCutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, name, power_cut)
        with pytest.raises(PowerCutError):
            yield


@pytest.mark.parametrize(("kind", "exchange"), EACH)
def test_an_exchange_of_an_attempt_has_one_answer_whatever_the_request_is_called(
    tmp_path: Path, kind: str, exchange: Exchange
) -> None:
    with round_before(tmp_path, exchange, PLANS[kind]) as attacked:
        first = attacked.answered("east", attacked.packet)
        assert kind_of(first.envelope) == REPLIES[exchange].__name__
        told = "was asked by another request, one is allowed"
        attacked.refused(told, request="another")
        assert attacked.answered("east", attacked.packet) == first


@pytest.mark.parametrize("kind", PLANS)
def test_the_last_answer_leaves_nothing_that_could_open_a_sum(tmp_path: Path, kind: str) -> None:
    with round_before(tmp_path, LAST[kind], PLANS[kind]) as attacked:
        assert kept(attacked) == KEPT[kind]
        attacked.answered("east", attacked.packet)
        assert kept(attacked) == set()


@pytest.mark.parametrize("kind", PLANS)
def test_a_node_that_is_cut_off_before_it_erases_gives_to_no_other_sum_and_erases_when_asked_again(
    tmp_path: Path, kind: str
) -> None:
    with round_before(tmp_path, LAST[kind], PLANS[kind]) as attacked:
        with cut(Room, "erase"):
            attacked.answered("east", attacked.packet)
        assert kept(attacked) == KEPT[kind]
        did = "unmasked" if kind == "masked" else "opened"
        told = f"this site has {did} a sum of this round already"
        first = EXCHANGES[kind][0]
        attacked.refused(told, exchange=first, attempt=2, request="second", body=b"")
        again = attacked.answered("east", attacked.packet)
        assert kind_of(again.envelope) == REPLIES[LAST[kind]].__name__
        assert kept(attacked) == set()


@pytest.mark.parametrize("kind", PLANS)
def test_a_node_that_is_cut_off_before_it_stores_answers_when_it_is_asked_again(
    tmp_path: Path, kind: str
) -> None:
    with round_before(tmp_path, LAST[kind], PLANS[kind]) as attacked:
        with cut(Replies, "store"):
            attacked.answered("east", attacked.packet)
        assert kept(attacked) == KEPT[kind]
        again = attacked.answered("east", attacked.packet)
        assert kind_of(again.envelope) == REPLIES[LAST[kind]].__name__


WORDS: list[tuple[str, Exchange, Exchange]] = [
    ("masked", "share", "advertise"),
    ("masked", "unmask", "agree"),
    ("encrypted", "deal", "announce"),
    ("encrypted", "open", "settle"),
]


@pytest.mark.parametrize(("kind", "exchange", "before"), WORDS)
def test_one_hospital_signs_for_no_other(
    tmp_path: Path, kind: str, exchange: Exchange, before: Exchange
) -> None:
    with round_before(tmp_path, exchange, PLANS[kind]) as attacked:
        words = unframed(attacked.packet.body)
        key = attacked.embedded.nodes["north"].key
        found = opened(words[1], REPLIES[before], key=key.public)
        assert found.site == "north"
        for other in ("south", "east", "west"):
            lie = signed(found.model_copy(update={"site": other}), key)
            body = framed([words[0], lie, *words[2:]])
            attacked.refused("what came of north is of another site or attempt", body=body)


def test_one_hospitals_ciphertexts_and_key_count_as_no_others(tmp_path: Path) -> None:
    with round_before(tmp_path / "a", "settle", ENCRYPTED) as attacked:
        parts = unframed(attacked.packet.body)
        key = attacked.embedded.nodes["north"].key
        found = opened(parts[2], REPLIES["encrypt"], key=key.public)
        lie = signed(found.model_copy(update={"site": "south"}), key)
        body = framed([*parts[:2], lie, *parts[3:]])
        attacked.refused("what came of north is of another site or attempt", body=body)


@pytest.mark.parametrize(("kind", "first"), [(one, EXCHANGES[one][0]) for one in PLANS])
def test_a_value_of_another_model_is_not_given(tmp_path: Path, kind: str, first: Exchange) -> None:
    with round_before(tmp_path, first, PLANS[kind]) as attacked:
        other = attacked.embedded.federation.home.root.name
        model = digest_of(other.encode())
        attacked.refused("this site has no value of round 1 to give", model=model)
        assert attacked.answered("east", attacked.packet).envelope


def test_only_the_owner_can_read_a_part(tmp_path: Path) -> None:
    modes: dict[str, int] = {}
    for kind in PLANS:
        with round_before(tmp_path / kind, LAST[kind], PLANS[kind]) as attacked:
            for path in attacked.embedded.nodes["east"].home.sums.rglob("*"):
                if path.name in KEPT[kind]:
                    modes[path.name] = path.stat().st_mode & 0o777
    assert modes == dict.fromkeys(KEPT["masked"] | KEPT["encrypted"], 0o600)
