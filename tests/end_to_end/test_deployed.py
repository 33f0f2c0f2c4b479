"""A federation of separate processes over TLS lives a whole life, as the embedded one does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aggregator.config import AggregatorHome
from hospital_node.config import NodeHome
from hospital_node.delivery import models
from schemas.audit.events import (
    Facts,
    KeyReplaced,
    ModelDelivered,
    ReleaseDecided,
    ReplyReceived,
    Revoked,
    RosterTaken,
    TurnedAway,
)
from schemas.audit.lines import read_facts
from schemas.errors import EnvelopeRefused
from schemas.names import digest_of
from tests.deployed import Deployed, aggregate, command_of_served, deployed
from tests.study import SITES, command

ROUNDS = 4


def replies(facts: Sequence[Facts], run: str) -> list[tuple[int, str, str]]:
    """List the replies of a run by round, purpose and site."""
    return sorted(
        (one.round, one.request.rpartition(".")[2], one.site)
        for one in facts
        if isinstance(one, ReplyReceived) and one.run == run
    )


def expected(*sites: str) -> list[tuple[int, str, str]]:
    halves = [(number, "train") for number in range(1, ROUNDS + 1)] + [(ROUNDS, "evaluate")]
    return sorted((number, kind, site) for number, kind in halves for site in sites)


def released(one: Deployed, run: str) -> list[str]:
    """Return the models of a run that left, after holding that every asked hospital has them."""
    facts = one.facts()
    [decision] = (fact for fact in facts if isinstance(fact, ReleaseDecided) and fact.run == run)
    assert decision.is_released
    sites = [fact.site for fact in facts if isinstance(fact, ModelDelivered) and fact.run == run]
    for site in sites:
        assert decision.arrays in models(NodeHome(one.study.nodes[site]))
    return sorted(sites)


def rotated(one: Deployed, site: str) -> None:
    home, folder = one.study.aggregator, one.study.folder
    request, answer = folder / "rotation.json", folder / "rotated.json"
    command_of_served("enrol", "rotate", "--home", one.study.nodes[site], "--out", request)
    heard = digest_of(request.read_bytes())
    aggregate("roster", "rotate", request, "--digest", heard, "--home", home, "--out", answer)
    command_of_served("enrol", "install", answer, "--home", one.study.nodes[site])


def test_a_whole_life_over_tls(tmp_path: Path) -> None:
    plan: dict[str, Any] = {
        "rounds": ROUNDS,
        "participation": {"quorum": 2, "deadline_s": 60.0},
        "evaluation": {"rounds": [ROUNDS], "bins": 10, "noise_multiplier": 0.3},
    }
    with deployed(tmp_path, epsilon=1e4, **plan) as one:
        home = one.study.aggregator
        one.serve()
        one.nodes()
        first = one.led()["run"]
        assert replies(one.facts(), first) == expected(*SITES)
        assert released(one, first) == list(SITES)
        aggregate("audit", "report", "--home", home)
        report = json.loads((home / "reports" / first / "report.json").read_text())
        assert report["run"] == first

        aggregate("roster", "revoke", "--home", home, "--site", "west")
        rotated(one, "north")
        aggregate("roster", "rotate-service", "--home", home)
        second = one.led()["run"]
        assert replies(one.facts(), second) == expected("east", "north")
        assert released(one, second) == ["east", "north"]
        assert "does not know this node's key" in one.log("west")
        facts = one.facts()
        assert [fact.party for fact in facts if isinstance(fact, Revoked)] == ["west"]
        parties = [fact.party for fact in facts if isinstance(fact, KeyReplaced)]
        assert parties == ["north", "aggregator"]
        again = tmp_path / "again.admission"
        request = tmp_path / "west.request"
        heard = digest_of(request.read_bytes())
        aggregate(
            *("enrol", "approve", request, "--digest", heard, "--home", home, "--out", again),
            expect=EnvelopeRefused.exit_status,
        )
        assert not again.exists()
    assert list(read_facts(one.study.nodes["east"] / "journal", RosterTaken))
    turned_away = read_facts(AggregatorHome(home).door, TurnedAway)
    assert "not-enrolled" in {fact.reason for fact in turned_away if isinstance(fact, TurnedAway)}
    aggregate("audit", "verify", "--home", home)
    for site in SITES:
        command("audit", "verify", "--home", one.study.nodes[site])
