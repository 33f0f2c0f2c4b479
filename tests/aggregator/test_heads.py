"""The newest head of each site is kept, and nothing else is."""

from pathlib import Path

import pytest

from aggregator.heads import Heads
from schemas.audit.notes import TreeHead, signed_head
from schemas.enrolment import Member, Roster
from schemas.errors import JournalDamaged
from schemas.wire.keys import SigningKey

KEY, OTHER, SERVICE = (SigningKey.generate() for _ in range(3))
SINCE = "2026-11-20T09:08:07.006Z"
WITNESS = SigningKey.generate().public
EAST = Member(site="east", key=KEY.public, witness=WITNESS, since=SINCE)


def roster(*members: Member) -> Roster:
    return Roster(federation="study", serial=1, aggregator=SERVICE.public, members=members)


def note(size: int, *, site: str = "east", key: SigningKey = KEY, root: int = 0) -> str:
    return signed_head(TreeHead(f"site/{site}", size, bytes([root]) * 32), key)


def test_the_largest_head_stands_whatever_the_order(tmp_path: Path) -> None:
    for size in (3, 9, 4, 9, 1):
        Heads(tmp_path).keep(EAST, note(size))
    assert Heads(tmp_path).of(roster(EAST)) == {"east": note(9)}


def test_of_two_heads_of_one_size_the_first_stands(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    heads.keep(EAST, note(3, root=1))
    heads.keep(EAST, note(3, root=2))
    assert heads.of(roster(EAST)) == {"east": note(3, root=1)}


@pytest.mark.parametrize(
    "wrong", [note(9, key=OTHER), note(9, site="west"), "site/east\n9\n", "", note(9)[:-9]]
)
def test_what_the_site_did_not_sign_for_its_journal_is_refused(tmp_path: Path, wrong: str) -> None:
    heads = Heads(tmp_path)
    heads.keep(EAST, note(3))
    with pytest.raises(JournalDamaged):
        heads.keep(EAST, wrong)
    assert heads.of(roster(EAST)) == {"east": note(3)}


def test_a_head_under_a_former_key_is_left_out(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    heads.keep(EAST, note(3))
    anew = Member(site="east", key=OTHER.public, witness=WITNESS, since=SINCE)
    assert heads.of(roster(anew)) == {}
    heads.keep(anew, note(1, key=OTHER))
    assert heads.of(roster(anew)) == {"east": note(1, key=OTHER)}


def test_a_site_that_never_answered_has_no_head(tmp_path: Path) -> None:
    assert Heads(tmp_path).of(roster(EAST)) == {}
