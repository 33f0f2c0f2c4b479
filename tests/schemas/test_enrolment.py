"""A roster names each member once, each with a key of its own."""

from collections import defaultdict

import pytest
from pydantic import ValidationError

from schemas.enrolment import Member, Roster
from schemas.wire.keys import SigningKey

SERVICE, EAST, WEST = (SigningKey.generate().public for _ in range(3))
WITNESS = defaultdict[str, str](lambda: SigningKey.generate().public)


def member(site: str, key: str) -> Member:
    return Member(site=site, key=key, witness=WITNESS[site], since="2026-11-20T09:08:07.006Z")


def roster(*members: Member, serial: int = 1) -> Roster:
    return Roster(federation="study", serial=serial, aggregator=SERVICE, members=members)


def test_a_member_is_found_by_name_and_a_stranger_is_not() -> None:
    found = roster(member("east", EAST), member("west", WEST))
    assert found.member("west") == member("west", WEST)
    assert found.member("north") is None
    assert roster().member("east") is None


@pytest.mark.parametrize(
    "members",
    {
        "out of order": (member("west", WEST), member("east", EAST)),
        "a site twice": (member("east", EAST), member("east", WEST)),
        "a key twice": (member("east", EAST), member("west", EAST)),
        "the service's key": (member("east", SERVICE),),
    }.values(),
)
def test_sites_and_keys_are_distinct(members: tuple[Member, ...]) -> None:
    with pytest.raises(
        ValidationError, match="sites are not sorted and distinct, or two members share a key"
    ):
        roster(*members)


def test_serials_count_from_one() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        roster(serial=0)
