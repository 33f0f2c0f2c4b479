"""Every process may be killed in mid-round: the run ends, and nothing is charged or used twice."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import (
    Facts,
    ReplyMissing,
    ReplyReceived,
    RequestSent,
    RoundMoved,
    RunClosed,
    RunOpened,
)
from schemas.errors import QuorumLost
from tests.deployed import PATIENCE_S, Deployed, deployed, free_port
from tests.losing import line
from tests.study import SITES

THREE_ROUNDS: dict[str, Any] = {
    "rounds": 3,
    "evaluation": {"rounds": [1, 2, 3], "bins": 10, "noise_multiplier": 3},
    "participation": {"quorum": 2, "deadline_s": 60.0},
}


def asked(number: int, purpose: str = "train") -> Callable[[Facts], bool]:
    """Say of an event whether it is the request of a round."""
    return lambda facts: (
        isinstance(facts, RequestSent) and (facts.round, facts.purpose) == (number, purpose)
    )


def test_relay_node_and_run_are_killed_in_mid_round_and_the_run_ends(tmp_path: Path) -> None:
    with deployed(tmp_path, **THREE_ROUNDS) as one:
        one.serve()
        one.nodes()
        run = one.lead()
        one.until(asked(1))
        one.kill("east")
        one.node("east")
        one.until(asked(1, "evaluate"))
        one.kill("serve")
        one.serve()
        one.until(asked(2))
        run.kill()
        run.wait()
        name = name_of(one)
        assert one.led("--resume", name)["run"] == name
        assert_whole(one)


def test_the_whole_aggregator_is_killed_and_its_run_is_resumed(tmp_path: Path) -> None:
    with deployed(tmp_path, **THREE_ROUNDS) as one:
        one.serve()
        one.nodes()
        one.lead()
        one.until(asked(2, "evaluate"))
        for name in ("run", "serve"):
            one.kill(name)
        one.serve()
        one.lead("--resume", name_of(one))
        ended(one)
        assert_nothing_twice(one)


def name_of(one: Deployed) -> str:
    [name] = {fact.run for fact in one.facts() if isinstance(fact, RunOpened)}
    return name


def ended(one: Deployed) -> None:
    """Let a run end, resumed as often as a person would who is told that its quorum was lost."""
    for _ in range(5):
        status = one.processes["run"].wait(timeout=4 * PATIENCE_S)
        if status != QuorumLost.exit_status or "abandoned" not in one.log("run"):
            break
        one.lead("--resume", name_of(one))
    assert any(isinstance(fact, RunClosed) for fact in one.facts()), one.log("run")


def assert_nothing_twice(one: Deployed) -> None:
    """Hold that each site's reply to a request is one, and charged, whatever was lost."""
    received = {
        (fact.site, fact.request, fact.reply)
        for fact in one.facts()
        if isinstance(fact, ReplyReceived)
    }
    assert len({(site, request) for site, request, _ in received}) == len(received)
    for site in SITES:
        with Ledger(one.study.nodes[site] / "ledger.sqlite") as ledger:
            charged = Counter(entry.request for entry in ledger.entries())
        assert set(charged.values()) == {1}
        assert {request for name, request, _ in received if name == site} <= set(charged)


@pytest.mark.parametrize(
    "seconds", [pytest.param(4, id="short"), pytest.param(60, id="long", marks=pytest.mark.soak)]
)
def test_a_network_that_is_lost_for_a_while_costs_no_run(tmp_path: Path, seconds: int) -> None:
    with deployed(tmp_path, **THREE_ROUNDS) as one:
        behind = free_port()
        with line(one.port, behind) as between:
            one.serve(behind=behind)
            one.nodes()
            one.lead()
            one.until(asked(1, "evaluate"))
            between.lose()
            crossed = between.forwarded
            time.sleep(seconds)
            assert between.forwarded == crossed
            between.restore()
            ended(one)
        assert_nothing_twice(one)


def test_a_site_that_stands_still_is_left_out_and_its_late_reply_is_not_used(
    tmp_path: Path,
) -> None:
    soon = {"participation": {"quorum": 2, "deadline_s": 30.0}}
    with deployed(tmp_path, **THREE_ROUNDS | soon) as one:
        one.serve()
        one.nodes()
        for site in SITES:
            one.until_said(site, "connected")
        one.lead()
        one.until(lambda fact: isinstance(fact, ReplyReceived) and fact.site == "east")
        one.processes["east"].send_signal(signal.SIGSTOP)
        one.until(lambda fact: isinstance(fact, ReplyMissing) and fact.site == "east")
        one.processes["east"].send_signal(signal.SIGCONT)
        ended(one)
        assert_nothing_twice(one)


def assert_whole(one: Deployed) -> None:
    """Hold the journal and the ledgers of a run of three rounds against each other."""
    facts = one.facts()
    received = Counter(
        (one.site, one.request, one.reply) for one in facts if isinstance(one, ReplyReceived)
    )
    requests = {f"{number}.{kind}" for number in (1, 2, 3) for kind in ("train", "evaluate")}
    for site in SITES:
        answers = {(request, reply) for name, request, reply in received if name == site}
        assert {request.partition(".")[2] for request, _ in answers} == requests
        assert len(answers) == len(requests)  # however often it came, it is one reply
        with Ledger(one.study.nodes[site] / "ledger.sqlite") as ledger:
            charged = [entry.request.partition(".")[2] for entry in ledger.entries()]
        assert sorted(charged) == sorted(requests)
    assert "abandoned" not in {one.target for one in facts if isinstance(one, RoundMoved)}


@pytest.mark.soak
@pytest.mark.parametrize("purpose", ["train", "evaluate"])
@pytest.mark.parametrize("name", ["serve", "run", "east"])
def test_any_process_is_killed_in_any_half_of_a_round(
    tmp_path: Path, name: str, purpose: str
) -> None:
    with deployed(tmp_path, **THREE_ROUNDS) as one:
        one.serve()
        one.nodes()
        run = one.lead()
        one.until(asked(2, purpose))
        one.kill(name)
        if name == "run":
            one.led("--resume", name_of(one))
        else:
            one.serve() if name == "serve" else one.node(name)
            run.wait()
        assert_whole(one)
