"""What leaves the aggregator when a run is over, and who says that it came."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aggregator.delivery import deliver, deliveries, released, released_model
from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.delivery import models
from schemas.audit.events import Facts, ModelDelivered, Quarantined, ReleaseDecided, ReplyMissing
from schemas.errors import CheckpointDamaged, InputRefused
from schemas.names import digest_of
from schemas.release import Receipt
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet
from tests.study import SITES, Direct, Study, made

ONE_ROUND: dict[str, Any] = {"rounds": 1, "evaluation": {"rounds": [1]}}


def conducted(study: Study, embedded: EmbeddedFederation) -> str:
    name = study.started(embedded.federation)
    conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
    return name


def test_an_accepted_model_reaches_every_hospital_and_each_signs_for_it(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    state = study.conducted()
    with study.opened() as embedded:
        held, decision = deliveries(embedded.federation, state.run)
        assert held == SITES
        assert decision is not None
        assert decision.is_released
        for node in embedded.nodes.values():
            assert models(node.home) == [state.accepted.arrays]
        release, packet = released(embedded.federation, state.run)
        assert release.manifest.arrays == digest_of(packet.body) == state.accepted.arrays


def test_a_model_that_misses_its_release_criteria_stays_at_the_aggregator(tmp_path: Path) -> None:
    study = made(tmp_path, release={"min_auroc": 1.0}, **ONE_ROUND)
    with study.opened() as embedded:
        name = conducted(study, embedded)
        seen: list[Facts] = []
        assert deliver(embedded.federation, name, Direct(embedded.nodes), seen.append) == ()
        (decision,) = seen
        assert isinstance(decision, ReleaseDecided)
        assert not decision.is_released
        missed = [one for one in decision.checks if one.outcome != "accepted"]
        assert [one.check for one in missed] == ["auroc"]
        assert "misses the least of 1.000" in missed[0].reason
        assert all(models(node.home) == [] for node in embedded.nodes.values())
        with pytest.raises(InputRefused, match="has released no model"):
            released(embedded.federation, name)
        with pytest.raises(InputRefused, match="0 released models have this digest"):
            released_model(embedded.federation, decision.arrays)


def test_a_run_that_accepted_nothing_delivers_nothing(tmp_path: Path) -> None:
    study = made(tmp_path, rounds=1, evaluation={"rounds": [1]}, gate={"floor": 1.0})
    with study.opened() as embedded:
        name = conducted(study, embedded)
        seen: list[Facts] = []
        assert deliver(embedded.federation, name, Direct(embedded.nodes), seen.append) == ()
        assert seen == []


def test_a_run_that_is_not_over_delivers_nothing(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        with pytest.raises(InputRefused, match="is in round 0 of 1"):
            deliver(embedded.federation, name, Direct(embedded.nodes), lambda _: None)


def test_a_site_that_was_away_gets_the_same_bytes_later(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    with study.opened() as embedded:
        name = conducted(study, embedded)
        present = Direct({site: embedded.nodes[site] for site in ("east", "north")})
        seen: list[Facts] = []
        assert deliver(embedded.federation, name, present, seen.append) == ("east", "north")
        assert [one.site for one in seen if isinstance(one, ReplyMissing)] == ["west"]
        before = released(embedded.federation, name)[1]
        assert deliver(embedded.federation, name, Direct(embedded.nodes), seen.append) == SITES
        assert released(embedded.federation, name)[1] == before
        assert sum(isinstance(one, ReleaseDecided) for one in seen) == 1
        assert sum(isinstance(one, ModelDelivered) for one in seen) == 5


def _of_another_model(receipt: Receipt) -> Receipt:
    return receipt.model_copy(update={"arrays": digest_of(b"another")})


def _of_another_site(receipt: Receipt) -> Receipt:
    return receipt.model_copy(update={"site": "west"})


@pytest.mark.parametrize("change", [_of_another_model, _of_another_site])
def test_a_receipt_for_something_else_is_no_receipt(
    tmp_path: Path, change: Callable[[Receipt], Receipt]
) -> None:
    study = made(tmp_path, **ONE_ROUND)
    with study.opened() as embedded:
        name = conducted(study, embedded)
        key = embedded.nodes["north"].key

        def tamper(site: str, reply: Packet) -> Packet:
            if site != "north":
                return reply
            return Packet(signed(change(opened(reply.envelope, Receipt, key=key.public)), key))

        seen: list[Facts] = []
        exchange = Direct(embedded.nodes).tampering(tamper)
        assert deliver(embedded.federation, name, exchange, seen.append) == ("east", "west")
        faults = [one for one in seen if isinstance(one, Quarantined)]
        assert [(one.site, one.check) for one in faults] == [("north", "receipt")]


def test_a_release_that_was_changed_on_disk_is_refused(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    state = study.conducted()
    path = study.aggregator / "runs" / state.run / "release.json"
    path.write_bytes(path.read_bytes().replace(b"ModelRelease", b"ModelReleasf"))
    with study.opened() as embedded, pytest.raises(CheckpointDamaged, match="not as it was signed"):
        released(embedded.federation, state.run)


def test_an_evaluator_judges_and_gets_the_model_and_never_trains(tmp_path: Path) -> None:
    sites = [{"site": one, "role": "evaluator" if one == "west" else "trainer"} for one in SITES]
    study = made(tmp_path, sites=sites, **ONE_ROUND)
    state = study.conducted()
    assert [one.site for one in state.sources] == ["east", "north"]
    assert [one.site for one in state.accepted.histograms] == list(SITES)
    replies = tmp_path / "west" / "replies" / state.run
    assert [path.name for path in replies.iterdir()] == ["000001-evaluate"]
    with study.opened() as embedded:
        assert deliveries(embedded.federation, state.run)[0] == SITES
