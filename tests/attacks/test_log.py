"""An aggregator, a site or a relay that would have two histories of a log."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aggregator.audit.exchange import show, taken
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.audit.witness import stands
from hospital_node.session import answer
from schemas.audit.events import ForkSeen, HeadCosigned, LogReceived
from schemas.audit.exchange import Shared, Shown
from schemas.audit.notes import TreeHead, claimed_head, signed_head
from schemas.audit.witness import Offer
from schemas.update import Refusal
from schemas.wire.packet import Packet
from tests.desk import ONE_ROUND, attacked, desk, quarantined
from tests.study import Tamper, conducting, made


def facts(one: Any, kind: type[Any]) -> list[Any]:
    return [event.facts for event in one.journal.events() if isinstance(event.facts, kind)]


def test_a_fork_shown_to_one_hospital_is_refused_and_kept_with_both_heads(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        one.asked()
        key, before = one.embedded.federation.key, stands(one.node)
        assert before.head is not None
        size = before.head.size + 3
        note = signed_head(TreeHead("t/aggregator", size, b"\1" * 32), key)
        shown = Shown(
            offers=(Offer(before.head.size, (b"\2" * 32,), note).body(),),
            cosigned=None,
            held={},
            roster=one.embedded.federation.home.roster.read_text(),
        )
        reply = answer(one.node, replace(one.packet(round=2, request="r"), audit=shown.canonical()))
        refusal = one.read(reply)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "not-witnessed"
        assert Shared.from_canonical(reply.audit).cosignature is None
        assert facts(one.node, ForkSeen) == [ForkSeen(known=before.note, shown=note)]
        assert stands(one.node).head == before.head


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_a_relay_that_takes_the_log_away_gets_no_release(tmp_path: Path, content: bytes) -> None:
    with desk(tmp_path, private=True) as one:
        reply = one.read(answer(one.node, replace(one.packet(), audit=content)))
        assert isinstance(reply, Refusal)
        assert reply.code == "not-witnessed"
        assert one.spent() == 0


def test_no_second_release_leaves_before_enough_sites_have_cosigned(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        federation = one.embedded.federation

        def asked(number: int) -> Packet:
            shown = show(federation, federation.roster(), needed=2)
            packet = one.packet(round=number, request=f"run-1.{number}.train")
            reply = answer(one.node, replace(packet, audit=shown.canonical()))
            member = federation.roster().member("east")
            assert member is not None
            assert taken(federation, member, shown, reply.audit).fault is None
            return reply

        assert one.read(asked(1)).kind == "update"
        spent = one.spent()
        refusal = one.read(asked(2))
        assert isinstance(refusal, Refusal)
        assert (refusal.code, one.spent()) == ("not-witnessed", spent)


CHANGES: dict[str, Callable[[Shared], dict[str, Any]]] = {
    "no cosignature": lambda _: {"cosignature": None},
    "another's cosignature": lambda part: {
        "cosignature": str(part.cosignature).replace("site/north", "site/west")
    },
    "an event left out": lambda part: {"events": part.events[:-1]},
    "an event changed": lambda part: {
        "events": (*part.events[:-1], part.events[-1].replace('"sequence":', '"sequence":1'))
    },
    "events in another order": lambda part: {"events": part.events[::-1]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_hospital_that_hides_its_log_is_left_out(
    tmp_path: Path, change: Callable[[Shared], dict[str, Any]]
) -> None:
    def hiding(_: EmbeddedFederation) -> Tamper:
        def hidden(site: str, reply: Packet) -> Packet:
            if site != "north":
                return reply
            part = Shared.from_canonical(reply.audit)
            return replace(reply, audit=part.model_copy(update=change(part)).canonical())

        return hidden

    seen = attacked(made(tmp_path, **ONE_ROUND), hiding)
    assert set(quarantined(seen)) == {("north", "log")}


def test_a_hospital_that_signs_two_histories_is_left_out_and_recorded(tmp_path: Path) -> None:
    def tamper(site: str, reply: Packet) -> Packet:
        part = Shared.from_canonical(reply.audit)
        if site != "north" or part.first == 0:
            return reply
        head = claimed_head(part.head)
        assert head is not None
        forged = replace(head, size=part.first, root=b"\3" * 32)
        note = signed_head(forged, embedded.nodes[site].key)
        return replace(
            reply, audit=part.model_copy(update={"events": (), "head": note}).canonical()
        )

    with conducting(made(tmp_path), tamper) as (embedded, conducted, seen):
        conducted()
        incidents = [one for one in seen if isinstance(one, ForkSeen)]
        assert {claimed_head(one.shown).root for one in incidents} == {b"\3" * 32}  # type: ignore[union-attr]  # a head was signed above
        assert set(quarantined(seen)) == {("north", "log")}


def test_every_site_cosigns_and_every_log_is_here_when_a_run_ends(tmp_path: Path) -> None:
    with conducting(made(tmp_path)) as (embedded, conducted, seen):
        conducted()
        federation = embedded.federation
        for site, node in embedded.nodes.items():
            own = list(node.journal.lines(0, most=node.journal.size))
            log = (federation.home.logs / site / "events.jsonl").read_bytes()
            assert log.split(b"\n")[:-1] == own
            assert len(facts(node, HeadCosigned)) == 5
        last = [one for one in seen if isinstance(one, LogReceived)][-3:]
        assert sorted(one.site for one in last) == ["east", "north", "west"]
