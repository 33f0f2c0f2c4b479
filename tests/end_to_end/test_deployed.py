"""A federation of separate processes over TLS does what the embedded one does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hospital_node.config import NodeHome
from hospital_node.delivery import models
from schemas.audit.events import Facts, ModelDelivered, ReleaseDecided, ReplyReceived, Revoked
from schemas.audit.lines import read_events
from schemas.errors import EnvelopeRefused, NotReleased
from tests.deployed import PATIENCE_S, aggregate, deployed
from tests.study import SITES


def replies(facts: Sequence[Facts], run: str) -> list[tuple[int, str, str]]:
    """List the replies of a run by round, purpose and site."""
    return sorted(
        (one.round, one.request.rpartition(".")[2], one.site)
        for one in facts
        if isinstance(one, ReplyReceived) and one.run == run
    )


def expected(*sites: str) -> list[tuple[int, str, str]]:
    halves = [(number, kind) for number in (1, 2) for kind in ("train", "evaluate")]
    return sorted((number, kind, site) for number, kind in halves for site in sites)


def test_two_private_rounds_run_over_tls_and_a_revoked_site_has_no_part_in_the_next_run(
    tmp_path: Path,
) -> None:
    with deployed(tmp_path, participation={"quorum": 1, "deadline_s": 60.0}) as one:
        one.serve()
        one.nodes()
        first = one.led()["run"]
        assert replies(one.facts(), first) == expected(*SITES)
        home = one.study.aggregator
        aggregate("roster", "revoke", "--home", home, "--site", "west")
        second = one.led()["run"]
        assert replies(one.facts(), second) == expected("east", "north")
        assert "does not know this node's key" in one.log("west")
        assert [fact.party for fact in one.facts() if isinstance(fact, Revoked)] == ["west"]
        again = one.study.folder / "again.admission"
        aggregate(
            *("enrol", "approve", one.study.folder / "west.request", "--home", home),
            *("--out", again),
            expect=EnvelopeRefused.exit_status,
        )
        assert not again.exists()


def test_a_released_model_reaches_every_hospital_over_tls(tmp_path: Path) -> None:
    with deployed(tmp_path, private=False, rounds=1, evaluation={"rounds": [1]}) as one:
        one.serve()
        one.nodes()
        one.led()
    facts = [event.facts for event in read_events(one.study.aggregator / "journal")]
    (decision,) = (fact for fact in facts if isinstance(fact, ReleaseDecided))
    assert decision.is_released
    assert sorted(fact.site for fact in facts if isinstance(fact, ModelDelivered)) == list(SITES)
    for home in one.study.nodes.values():
        assert models(NodeHome(home)) == [decision.arrays]


def test_a_model_that_misses_the_release_stays_and_the_command_says_so(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"rounds": 1, "evaluation": {"rounds": [1]}}
    with deployed(tmp_path, private=False, release={"min_auroc": 1.0}, **changes) as one:
        one.serve()
        one.nodes()
        assert one.lead().wait(timeout=4 * PATIENCE_S) == NotReleased.exit_status, one.log("run")
        told = json.loads(next(line for line in one.log("run").splitlines() if line[:1] == "{"))
        assert (told["accepted_round"], told["released"], told["delivered"]) == (1, False, [])
        assert "model of round 1 not released: " in one.log("run")
    assert all(models(NodeHome(home)) == [] for home in one.study.nodes.values())
