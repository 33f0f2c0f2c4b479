"""What a run leaves in a home for its next round, and which plan may find it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.material import read_material
from deployment.material import pin
from hospital_node import personal
from hospital_node.config import run_folder
from schemas.names import digest_of
from schemas.update import Update, VariateRounds
from schemas.wire.arrays import declared_layout, decoded
from tests.desk import Desk, desk
from tests.study import PLAN, PRIVATE, Study, approved, write_toml

STEPS: dict[str, Any] = {
    "kind": "steps",
    "steps": 1,
    "batch_images": 8,
    "optimizer": {"kind": "sgd", "learning_rate": 0.1},
}
PERSONAL: dict[str, Any] = {"aggregation": {"personalisation": {"shared": 0.5}}}
SCAFFOLD: dict[str, Any] = {"aggregation": {"algorithm": "scaffold"}}


def test_a_runs_folder_is_of_one_plan() -> None:
    one, other = digest_of(b"one"), digest_of(b"other")
    assert run_folder("run-1", one) == f"run-1.{one[7:23]}"
    assert run_folder("run-1", one) != run_folder("run-1", other)


def under_another_plan(one: Desk, **changes: Any) -> Desk:
    """Approve a private plan beside the study's own, which had none."""
    study = Study(
        one.study.folder,
        one.study.folder / "other" / "small.plan.toml",
        one.study.aggregator,
        one.study.nodes,
    )
    write_toml(study.plan, PLAN | PRIVATE | changes)
    contract = one.study.folder / "small.contract.toml"
    (study.plan.parent / contract.name).write_bytes(contract.read_bytes())
    pin(study.plan)
    return replace(one, study=study, body=read_material(study.plan).initial)


def test_own_arrays_without_noise_never_enter_a_private_run_of_the_same_name(
    tmp_path: Path,
) -> None:
    with desk(tmp_path, **PERSONAL) as one:
        assert isinstance(one.asked(), Update)
        other = under_another_plan(one, **PERSONAL)
    approved(other.study, "east", private=True)
    with other.study.opened() as embedded:
        again = replace(other, embedded=embedded)
        assert isinstance(again.asked(round=2), Update)
        place = run_folder("run-1", other.study.parsed().digest)
        state = personal.state_before(again.node.home.personal / place, 3)
    assert state is not None
    received = decoded(other.body, declared_layout(other.body))
    for name, value in received.items():
        np.testing.assert_array_equal(state.own[name], value)


def test_a_variate_without_noise_never_enters_a_private_run_of_the_same_name(
    tmp_path: Path,
) -> None:
    with desk(tmp_path, **SCAFFOLD, local=STEPS) as one:
        assert isinstance(one.asked(), Update)
        other = under_another_plan(one, **SCAFFOLD)
    approved(other.study, "east", private=True)
    with other.study.opened() as embedded:
        again = replace(other, embedded=embedded)
        named = {"east": VariateRounds(counted=1, accepted=1)}
        assert again.refused(round=2, variates=named) == "request-invalid"
        assert again.spent() == 0.0
