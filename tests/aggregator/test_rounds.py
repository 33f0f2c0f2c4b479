"""Whole runs over a small study: the transition table, rollback, recovery and bad updates."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator.rounds import EDGES
from aggregator.run_state import RunState
from aggregator.runs import conduct, stored
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import (
    CheckpointStored,
    Facts,
    Quarantined,
    RefusalReceived,
    ReplyMissing,
    RoundMoved,
    VerdictGiven,
)
from schemas.errors import InputRefused, QuorumLost
from schemas.names import digest_of
from schemas.update import Evaluation, Histogram, Update
from schemas.wire.arrays import declared_layout, flat_values, header
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.packet import Packet
from tests.study import PLAN, Direct, Study, conducting, made

Change = Callable[[Update, np.ndarray], tuple[Update, np.ndarray]]


def resigned(
    embedded: EmbeddedFederation, site: str, reply: Packet, change: Callable[[Any, Any], Any]
) -> Packet:
    """Let a dishonest site change its update, and sign what it likes."""
    key = embedded.nodes[site].key
    update = opened(reply.envelope, Update, key=key.public)
    layout = declared_layout(reply.body)
    update, vector = change(update, flat_values(reply.body, layout).copy())
    body = header(layout) + vector.tobytes()
    fields = {name: getattr(update, name) for name in Update.model_fields}
    if update.arrays == digest_of(reply.body):
        fields["arrays"] = digest_of(body)
    return replace(reply, envelope=signed(Update(**fields), key), body=body)


def moves(seen: list[Facts]) -> list[tuple[int, str]]:
    return [(one.round, one.target) for one in seen if isinstance(one, RoundMoved)]


def checks(seen: list[Facts]) -> list[tuple[str | None, str]]:
    return [(one.site, one.check) for one in seen if isinstance(one, Quarantined)]


def test_a_run_walks_the_table_and_ends_with_an_accepted_model(tmp_path: Path) -> None:
    study = made(tmp_path, evaluation={"rounds": [2]})
    with conducting(study) as (embedded, conducted, seen):
        state = conducted()
        assert moves(seen) == [
            *((1, phase) for phase in ("opened", "collected", "screened", "combined")),
            (1, "provisional"),
            *((2, phase) for phase in ("opened", "collected", "screened", "combined")),
            *((2, phase) for phase in ("judged", "accepted")),
        ]
        assert state.accepted.round == 2
        line = embedded.federation.registry.lineage(state.accepted.arrays, run=state.run)
        assert [one.round for one in line] == [2, 1, 0]
        assert [one.status for one in line] == ["accepted", "provisional", "initial"]


def test_every_move_of_a_run_is_in_the_table() -> None:
    assert EDGES["accepted"] == EDGES["rolled-back"] == ("opened",)
    assert EDGES["provisional"] == EDGES["abandoned"] == ("opened",)
    assert {target for targets in EDGES.values() for target in targets} == set(EDGES)


def test_a_seeded_run_repeats_bit_for_bit(tmp_path: Path) -> None:
    study = made(tmp_path)
    first, second = study.conducted(), study.conducted()
    assert first.accepted.arrays == second.accepted.arrays


def _nan(update: Update, vector: Any) -> tuple[Update, Any]:
    vector[0] = np.nan
    return update, vector


FAULTS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "not a number": (_nan, "finite"),
    "infinite": (lambda update, vector: (update, vector + np.float32(np.inf)), "finite"),
    "huge": (lambda update, vector: (update, vector + np.float32(1e30)), "norm"),
    "too long": (lambda update, vector: (update, np.append(vector, vector[:1])), "layout"),
    "too short": (lambda update, vector: (update, vector[:-1]), "layout"),
    "another round": (
        lambda one, vector: (one.model_copy(update={"round": 7}), vector),
        "binding",
    ),
    "another run": (lambda one, vector: (one.model_copy(update={"run": "x"}), vector), "binding"),
    "another plan": (
        lambda one, vector: (one.model_copy(update={"plan": digest_of(b"")}), vector),
        "binding",
    ),
    "another site's name": (
        lambda one, vector: (one.model_copy(update={"site": "west"}), vector),
        "envelope",
    ),
    "other arrays than named": (
        lambda one, vector: (one.model_copy(update={"arrays": digest_of(b"")}), vector),
        "envelope",
    ),
}


@pytest.mark.parametrize("story", FAULTS)
def test_one_bad_update_is_named_and_left_out_and_the_round_goes_on(
    tmp_path: Path, story: str
) -> None:
    change, check = FAULTS[story]
    study = made(tmp_path, rounds=1, evaluation={"rounds": [1]})
    with study.opened() as embedded:
        seen: list[Facts] = []

        def tamper(site: str, reply: Packet) -> Packet:
            is_update = site == "north" and reply.body
            return resigned(embedded, site, reply, change) if is_update else reply

        name = study.started(embedded.federation)
        exchange = Direct(embedded.nodes).tampering(tamper)
        state = conduct(embedded.federation, name, exchange, seen.append)
        assert checks(seen) == [("north", check)]
        assert [one.site for one in state.sources] == ["east", "west"]
        assert state.phase == "accepted"
        vector = embedded.federation.store.arrays(state.accepted.arrays)
        assert np.isfinite(flat_values(vector, declared_layout(vector))).all()


def test_a_reply_in_the_slot_of_another_site_is_not_taken_for_it(tmp_path: Path) -> None:
    study = made(tmp_path, rounds=1, evaluation={"rounds": [1]})
    replies: dict[str, Packet] = {}

    def swap(site: str, reply: Packet) -> Packet:
        replies.setdefault(site, reply)
        return replies["east"] if site == "north" and reply.body else reply

    with conducting(study, swap) as (_, conducted, seen):
        state = conducted()
        assert ("north", "envelope") in checks(seen)
        assert [one.site for one in state.sources] == ["east", "west"]


def test_too_few_usable_updates_abandon_the_round_and_keep_the_accepted_model(
    tmp_path: Path,
) -> None:
    study = made(tmp_path)
    silent = {"north", "west"}

    def lost(site: str, reply: Packet) -> Packet | None:
        return None if site in silent else reply

    with study.opened() as embedded:
        seen: list[Facts] = []
        name = study.started(embedded.federation)
        exchange = Direct(embedded.nodes)
        with pytest.raises(QuorumLost, match="1 usable updates came, the plan needs 2"):
            conduct(embedded.federation, name, exchange.tampering(lost), seen.append)
        assert {one.site for one in seen if isinstance(one, ReplyMissing)} == silent
        _, state = stored(embedded.federation, name)
        assert (state.phase, state.accepted.round) == ("abandoned", 0)
        resumed = conduct(embedded.federation, name, exchange, seen.append)
        assert (resumed.phase, resumed.round) == ("accepted", 2)


def _worse(site: str, embedded: EmbeddedFederation, reply: Packet) -> Packet:
    """Let every site report scores that are upside down."""
    key = embedded.nodes[site].key
    evaluation = opened(reply.envelope, Evaluation, key=key.public)
    assert isinstance(evaluation.histogram, Histogram)
    negatives, positives = evaluation.histogram.counts
    fields = {name: getattr(evaluation, name) for name in Evaluation.model_fields}
    turned = Histogram(counts=(tuple(sorted(negatives)), tuple(sorted(positives, reverse=True))))
    return replace(reply, envelope=signed(Evaluation(**fields | {"histogram": turned}), key))


def _judged_down_from(study: Study, first: int) -> tuple[RunState, list[Facts]]:
    """Run a study whose sites report a collapse from one round on."""
    with study.opened() as embedded:
        seen: list[Facts] = []
        number = 0

        def tamper(site: str, reply: Packet) -> Packet:
            nonlocal number
            if kind_of(reply.envelope) != "Evaluation":
                return reply
            key = embedded.nodes[site].key
            number = opened(reply.envelope, Evaluation, key=key.public).round
            return _worse(site, embedded, reply) if number >= first else reply

        name = study.started(embedded.federation)
        exchange = Direct(embedded.nodes).tampering(tamper)
        return conduct(embedded.federation, name, exchange, seen.append), seen


STRICT = PLAN["gate"] | {"margin": 0.01, "site_margin": 0.2, "max_rejections": 2}


def test_a_rejected_candidate_rolls_back_to_the_accepted_model_and_its_state(
    tmp_path: Path,
) -> None:
    study = made(tmp_path, rounds=3, evaluation={"rounds": [1, 2]}, gate=STRICT)
    state, seen = _judged_down_from(study, 2)
    verdicts = [one.verdict for one in seen if isinstance(one, VerdictGiven)]
    assert [one.outcome for one in verdicts] == ["accepted", "rejected"]
    models = [one.arrays for one in seen if isinstance(one, CheckpointStored)]
    assert state.accepted.arrays == models[0]
    assert (3, "provisional") in moves(seen)
    with study.opened() as embedded:
        line = embedded.federation.registry.lineage(models[2], run=state.run)
        assert [one.round for one in line] == [3, 1, 0]


def test_rejections_in_a_row_stop_the_run(tmp_path: Path) -> None:
    study = made(tmp_path, rounds=9, evaluation={"rounds": [1, 2, 3, 4]}, gate=STRICT)
    state, seen = _judged_down_from(study, 2)
    assert (state.round, state.rejections, state.accepted.round) == (3, 2, 1)
    assert moves(seen)[-1] == (3, "rolled-back")


def test_a_run_goes_on_without_the_sites_that_refuse(tmp_path: Path) -> None:
    study = made(tmp_path, rounds=1, evaluation={"rounds": [1]})
    (tmp_path / "west" / "policy.toml").write_text("[limit]\nepsilon = 8.0\ndelta = 0.0001\n")
    with conducting(study) as (_, conducted, seen):
        assert conducted().phase == "accepted"
        refusals = [one for one in seen if isinstance(one, RefusalReceived)]
        assert {(one.site, one.code) for one in refusals} == {("west", "not-approved")}


def test_a_run_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    study = made(tmp_path)
    with study.opened() as embedded, pytest.raises(InputRefused, match="no run of this name"):
        conduct(embedded.federation, "run-x", Direct(embedded.nodes), lambda _: None)


def test_a_second_run_continues_every_ledger(tmp_path: Path) -> None:
    study = made(
        tmp_path, private=True, rounds=1, evaluation={"rounds": [1], "noise_multiplier": 3.0}
    )
    figures = []
    for _ in range(2):
        study.conducted()
        with Ledger(tmp_path / "east" / "ledger.sqlite") as ledger:
            figures.append(ledger.spent("train", delta=1e-4).rdp)
    assert 0 < figures[0] < figures[1]
