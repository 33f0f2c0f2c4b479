"""Replies that come late, twice or never: each counts once, in its own round, or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregator.run_state import RunState
from aggregator.runs import conduct
from hospital_node.node import Node
from hospital_node.privacy.ledger import Ledger
from hospital_node.session import answer
from schemas.audit.events import Facts, Quarantined, ReplyMissing, VerdictGiven
from schemas.wire.packet import Packet
from tests.study import SITES, Study, Tamper, conducting, made


def conducted(study: Study, tamper: Tamper) -> tuple[RunState, list[Facts]]:
    with conducting(study, tamper) as (_, conduct_it, seen):
        return conduct_it(), seen


def missing(seen: list[Facts]) -> list[tuple[int, str, str]]:
    return [
        (one.round, one.site, one.request.rpartition(".")[2])
        for one in seen
        if isinstance(one, ReplyMissing)
    ]


def quarantined(seen: list[Facts]) -> list[tuple[int, str | None, str]]:
    return [(one.round, one.site, one.check) for one in seen if isinstance(one, Quarantined)]


def held_back(site: str, *, is_update: bool) -> Tamper:
    """Keep a site's first update or evaluation until the next one is due, and send it then."""
    kept: list[Packet] = []

    def tamper(slot: str, reply: Packet) -> Packet | None:
        if slot != site or bool(reply.body) != is_update:
            return reply
        if not kept:
            kept.append(reply)
            return None
        return kept[0]

    return tamper


def test_an_update_that_comes_a_round_late_counts_in_neither(tmp_path: Path) -> None:
    state, seen = conducted(made(tmp_path), held_back("west", is_update=True))
    assert missing(seen) == [(1, "west", "train")]
    assert quarantined(seen) == [(2, "west", "stale")]
    assert (state.phase, state.round) == ("accepted", 2)
    assert [one.site for one in state.sources] == ["east", "north"]


def test_an_evaluation_that_comes_a_round_late_judges_no_model(tmp_path: Path) -> None:
    _, seen = conducted(made(tmp_path), held_back("west", is_update=False))
    assert missing(seen)[:1] == [(1, "west", "evaluate")]
    assert quarantined(seen)[:1] == [(2, "west", "envelope")]  # it is about another model
    judged = [one.verdict for one in seen if isinstance(one, VerdictGiven)]
    assert [[one.site for one in each.sites] for each in judged] == [["east", "north"]] * 2


@dataclass(frozen=True, slots=True)
class Twice:
    """A relay that hands every node each request twice, and brings both replies."""

    nodes: dict[str, Node]

    def __call__(
        self, packet: Packet, sites: Sequence[str], *, deadline_s: float
    ) -> Iterator[tuple[str, Packet | None]]:
        del deadline_s
        for site in (*sites, *sites):
            yield site, answer(self.nodes[site], packet)


def spent(study: Study) -> dict[str, list[str]]:
    """Return the requests that each hospital charged."""
    found = {}
    for site in SITES:
        with Ledger(study.nodes[site] / "ledger.sqlite") as ledger:
            found[site] = sorted(one.request.partition(".")[2] for one in ledger.entries())
    return found


def test_what_comes_twice_counts_once(tmp_path: Path) -> None:
    once = made(tmp_path / "once").conducted()
    study = made(tmp_path / "twice")
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        state = conduct(embedded.federation, name, Twice(embedded.nodes), lambda _: None)
    assert state.accepted.arrays == once.accepted.arrays
    assert [one.site for one in state.sources] == list(SITES)


def test_a_request_that_comes_twice_is_charged_once(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)
    seen: list[Any] = []
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        conduct(embedded.federation, name, Twice(embedded.nodes), seen.append)
    charged = [f"{number}.{half}" for number in (1, 2) for half in ("evaluate", "train")]
    assert spent(study) == dict.fromkeys(SITES, charged)
    assert quarantined(seen) == []
