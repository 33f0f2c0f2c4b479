"""Sites that were away, and runs that were killed, go on under a log that enough cosigned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aggregator.audit.exchange import show
from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.session import answer
from schemas.audit.events import Facts, RefusalReceived, ReplyReceived, RosterTaken
from schemas.enrolment import Roster
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from tests.study import SITES, Study, made

KILLED = "the run is killed here"


@dataclass(slots=True)
class Line:
    """An exchange on which one request is answered in vain, and some are never handed over."""

    embedded: EmbeddedFederation
    lost: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """By number of the request: whose replies do not arrive."""
    away: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """By number of the request: who does not get it."""
    killed: int = 0
    """Number of the request that is broken off before its last site."""
    count: int = 0

    def __call__(
        self, packet: Packet, sites: Sequence[str], *, deadline_s: float
    ) -> Iterator[tuple[str, Packet | None]]:
        del deadline_s
        self.count += 1
        for site in sites:
            if self.count == self.killed and site == sites[-1]:
                raise RuntimeError(KILLED)
            reply = None
            if site not in self.away.get(self.count, ()):
                reply = answer(self.embedded.nodes[site], packet)
            yield site, None if site in self.lost.get(self.count, ()) else reply


def rounds(count: int, *, quorum: int) -> dict[str, Any]:
    numbers = list(range(1, count + 1))
    participation = {"quorum": quorum, "deadline_s": 60.0}
    evaluation = {"rounds": numbers, "bins": 10}
    return {"rounds": count, "participation": participation, "evaluation": evaluation}


def refusals(seen: Sequence[Facts]) -> list[tuple[str, str]]:
    return [(one.site, one.code) for one in seen if isinstance(one, RefusalReceived)]


def test_a_site_that_was_long_away_and_whose_last_reply_was_lost_takes_part_again(
    tmp_path: Path,
) -> None:
    study = made(tmp_path, **rounds(5, quorum=2))
    with study.opened() as embedded:
        seen: list[Facts] = []
        away = dict.fromkeys(range(2, 8), ("north",))
        line = Line(embedded, lost={1: ("north",)}, away=away)
        conduct(embedded.federation, study.started(embedded.federation), line, seen.append)
    assert refusals(seen) == [("north", "not-witnessed")]
    received = [(one.site, one.round) for one in seen if isinstance(one, ReplyReceived)]
    assert [number for site, number in received if site == "north"] == [5, 5]


def test_a_run_killed_when_some_had_answered_goes_on_without_a_refusal(tmp_path: Path) -> None:
    study = made(tmp_path, **rounds(2, quorum=3))
    with study.opened() as embedded:
        seen: list[Facts] = []
        name, line = study.started(embedded.federation), Line(embedded, killed=3)
        with pytest.raises(RuntimeError, match=KILLED):
            conduct(embedded.federation, name, line, seen.append)
        conduct(embedded.federation, name, line, seen.append)
    assert not refusals(seen)
    received = [(one.site, one.round) for one in seen if isinstance(one, ReplyReceived)]
    assert sorted(received) == sorted((site, one) for site in SITES for one in (1, 1, 2, 2))


def rosters(study: Study) -> tuple[Roster, SigningKey]:
    key = SigningKey.load(study.aggregator / "keys" / "root")
    with study.opened() as embedded:
        return embedded.federation.roster(), key


def test_a_node_takes_a_newer_roster_of_its_federation_and_no_other(tmp_path: Path) -> None:
    study = made(tmp_path)
    roster, root = rosters(study)
    newer = roster.model_copy(update={"serial": roster.serial + 1})
    older = roster.model_copy(update={"serial": roster.serial - 1})
    foreign = newer.model_copy(update={"federation": "another", "serial": roster.serial + 9})
    without = newer.model_copy(update={"members": roster.members[1:], "serial": roster.serial + 9})
    with study.opened() as embedded:
        node = embedded.nodes["east"]
        for one, key in (
            (older, root),
            (foreign, root),
            (without, root),
            (newer, SigningKey.generate()),
        ):
            node.follow(signed(one, key).decode())
            assert node.membership()[1] == roster
        node.follow("no roster")
        node.follow(signed(newer, root).decode())
        assert node.membership()[1] == newer
        taken = [one.facts for one in node.journal.events() if isinstance(one.facts, RosterTaken)]
    assert taken == [RosterTaken(serial=newer.serial, roster=newer.digest)]


def test_the_roster_that_travels_is_the_aggregators_own(tmp_path: Path) -> None:
    with made(tmp_path).opened() as embedded:
        federation = embedded.federation
        shown = show(federation, federation.roster(), needed=1)
        assert shown.roster.encode() == federation.home.roster.read_bytes()
