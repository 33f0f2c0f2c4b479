"""Every process may be killed in mid-round: the run ends, and nothing is charged or used twice."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import Facts, ReplyReceived, RequestSent, RoundMoved, RunOpened
from tests.deployed import Deployed, deployed
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


def test_relay_node_and_run_are_killed_in_mid_round_and_the_run_ends_whole(tmp_path: Path) -> None:
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
        [name] = {one.run for one in one.facts() if isinstance(one, RunOpened)}
        assert one.led("--resume", name)["run"] == name
        assert_whole(one)


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
            [opened] = {one.run for one in one.facts() if isinstance(one, RunOpened)}
            one.led("--resume", opened)
        else:
            one.serve() if name == "serve" else one.node(name)
            run.wait()
        assert_whole(one)
