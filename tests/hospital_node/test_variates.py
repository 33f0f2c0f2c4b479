"""SCAFFOLD's variates on both sides, against the paper's algorithm written out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from aggregator.material import read_material
from aggregator.run_state import RunState
from aggregator.runs import stored
from hospital_node import variates
from hospital_node.config import run_folder
from schemas.errors import InputRefused
from schemas.plan import TrainingPlan
from schemas.update import TrainRequest, Update, VariateRounds
from schemas.wire.arrays import declared_layout, flat_values
from schemas.wire.envelope import opened
from schemas.wire.packet import Packet
from tests.study import PRIVATE, SITES, Study, conducting, made

WEIGHTS = {"east": 1.0, "north": 2.0, "west": 5.0}
SCAFFOLD: dict[str, Any] = {
    "sites": [
        {"site": site, "weight": weight, "expected_patients": 12.0}
        for site, weight in WEIGHTS.items()
    ],
    "aggregation": {"algorithm": "scaffold", "learning_rate": 0.8},
    "local": {
        "kind": "steps",
        "steps": 3,
        "batch_images": 8,
        "optimizer": {"kind": "sgd", "learning_rate": 0.1},
    },
}

Vector: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Deltas: TypeAlias = dict[int, dict[str, Vector]]


def watched(study: Study, *, absent: Callable[[int, str], bool]) -> tuple[RunState, Deltas]:
    """Run a study in which some replies get lost, and return every delta that was sent."""
    deltas: Deltas = {}
    keys: dict[str, str] = {}

    def tamper(site: str, reply: Packet) -> Packet | None:
        update = opened(reply.envelope, Update, key=keys[site]) if reply.body else None
        if update is None:
            return reply
        content = flat_values(reply.body, declared_layout(reply.body))
        deltas.setdefault(update.round, {})[site] = content
        return None if absent(update.round, site) else reply

    with conducting(study, tamper) as (embedded, conducted, _):
        keys |= {site: node.key.public for site, node in embedded.nodes.items()}
        return conducted(), deltas


def by_hand(
    start: Vector, deltas: Deltas, plan: TrainingPlan, absent: Callable[[int, str], bool]
) -> tuple[Doubles, dict[str, Doubles], Doubles]:
    """Do algorithm 1 with every c_i in sight: the last iterate, the sites' variates, the common."""
    shares = {site: weight / sum(WEIGHTS.values()) for site, weight in WEIGHTS.items()}
    iterate = start.astype(np.float64)
    own = {site: np.zeros(start.size) for site in WEIGHTS}
    for number, sent in sorted(deltas.items()):
        common = mean_of(own, shares)
        present = {site: shares[site] for site in WEIGHTS if not absent(number, site)}
        for site in present:
            own[site] = own[site] - common - sent[site] / plan.local_distance(number)
        moved = mean_of({site: sent[site].astype(np.float64) for site in present}, present)
        iterate = iterate + plan.aggregation.learning_rate * moved / sum(present.values())
    return iterate, own, mean_of(own, shares)


def mean_of(vectors: dict[str, Doubles], shares: dict[str, float]) -> Doubles:
    return np.sum([shares[site] * one for site, one in vectors.items()], axis=0)  # type: ignore[no-any-return]  # numpy's sum


@pytest.mark.parametrize("private", [False, True], ids=["steps", "private-steps"])
def test_both_sides_keep_the_variates_of_the_paper(tmp_path: Path, private: bool) -> None:  # noqa: FBT001
    def absent(number: int, site: str) -> bool:
        return (number, site) in {(2, "north"), (3, "east")}

    private_parts = {"local": PRIVATE["local"]} if private else {}
    study = made(
        tmp_path,
        private=private,
        **(SCAFFOLD | private_parts),
        rounds=4,
        evaluation={"rounds": [4], "noise_multiplier": 3.0} if private else {"rounds": [4]},
    )
    state, deltas = watched(study, absent=absent)
    plan = study.parsed()
    content = read_material(study.plan).initial
    layout = declared_layout(content)
    last, own, common = by_hand(flat_values(content, layout), deltas, plan, absent)
    with study.opened() as embedded:
        federation = embedded.federation
        server = stored(federation, state.run)[1].server
        folder = federation.home.runs / state.run / "server"
        assert server.control is not None
        control = (folder / f"{server.control.removeprefix('sha256:')}.safetensors").read_bytes()
        iterate = federation.store.vector(server.iterate, layout)
    np.testing.assert_allclose(iterate, last, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(flat_values(control, layout), common, rtol=1e-4, atol=1e-5)
    assert server.variates == {"east": 4, "north": 4, "west": 4}
    for site in SITES:
        place = run_folder(state.run, plan.digest)
        path = study.nodes[site] / "variates" / place / "000004.variate"
        found = flat_values(path.read_bytes(), layout)
        np.testing.assert_allclose(found, own[site], rtol=1e-4, atol=1e-5)


def test_a_site_whose_update_did_not_count_trains_with_the_variate_that_did(
    tmp_path: Path,
) -> None:
    study = made(tmp_path, **SCAFFOLD, rounds=3, evaluation={"rounds": [3]})
    state, _ = watched(study, absent=lambda number, site: (number, site) == (2, "north"))
    folder = study.aggregator / "runs" / state.run / "requests"
    request = TrainRequest.from_canonical((folder / "000003-train.json").read_bytes())
    assert request.variates["north"] == VariateRounds(counted=1, accepted=0)
    assert request.variates["west"] == VariateRounds(counted=2, accepted=0)
    kept = sorted(path.name for path in (study.nodes["north"] / "variates").glob("*/*"))
    assert kept == ["000001.variate", "000003.variate"]


def test_a_rejected_round_returns_to_the_variates_of_the_accepted_one(tmp_path: Path) -> None:
    gate = {"site_min_class_weight": 0.01, "floor": 1.0, "max_rejections": 3}
    study = made(tmp_path, **SCAFFOLD, rounds=2, gate=gate)
    state, _ = watched(study, absent=lambda *_: False)
    assert state.phase == "rolled-back"
    folder = study.aggregator / "runs" / state.run / "requests"
    request = TrainRequest.from_canonical((folder / "000002-train.json").read_bytes())
    assert request.control is None
    assert request.variates["east"] == VariateRounds(counted=0, accepted=0)


def test_a_lost_variate_is_refused_before_anything_is_charged(tmp_path: Path) -> None:
    like = {"w": np.zeros(3, dtype=np.float32)}
    with pytest.raises(InputRefused, match="the variate of round 7 is not here any more"):
        variates.opened(tmp_path, VariateRounds(counted=7), common=None, like=like)


def test_the_offset_of_a_first_round_is_zero(tmp_path: Path) -> None:
    like = {"w": np.ones(3, dtype=np.float32)}
    found = variates.opened(tmp_path, VariateRounds(), common=None, like=like)
    assert found.offset["w"].tolist() == [0.0, 0.0, 0.0]
