"""A study lead who asks for one plan and runs another."""

from pathlib import Path

import pytest

from deployment.material import pin
from hospital_node.config import NodeHome
from schemas.audit.events import RefusalReceived
from schemas.errors import QuorumLost
from schemas.plan import FROZEN_SUFFIX
from tests.brought import weights
from tests.desk import ONE_ROUND, desk
from tests.study import approved, conducting, made


def test_a_plan_edited_after_its_approval_trains_nowhere(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)
    text = study.plan.read_text()
    study.plan.write_text(text.replace("noise_multiplier = 3.0", "noise_multiplier = 0.5"))
    pin(study.plan)
    with conducting(study) as (_, conducted, seen):
        with pytest.raises(QuorumLost, match="0 usable updates came"):
            conducted()
        refusals = {(one.site, one.code) for one in seen if isinstance(one, RefusalReceived)}
    assert refusals == {(site, "not-approved") for site in ("east", "north", "west")}


def test_initial_arrays_other_than_the_approved_ones_are_another_plan(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    before = study.parsed().digest
    study.plan.write_text(study.plan.read_text().replace("seed = 3", "seed = 4"))
    pin(study.plan)
    assert study.parsed().digest != before


def test_a_frozen_body_other_than_the_approved_one_is_another_plan(tmp_path: Path) -> None:
    study = made(tmp_path, private=True, trainable="head")
    before = study.parsed().digest
    pin(study.plan, source=weights(tmp_path, seed=7))
    assert study.parsed().digest != before


def test_a_frozen_body_swapped_beside_the_plan_or_in_a_home_trains_nowhere(tmp_path: Path) -> None:
    study = made(tmp_path, private=True, trainable="head")
    plan = study.plan.read_bytes()
    pin(study.plan, source=weights(tmp_path, seed=7))
    other = study.plan.with_suffix(FROZEN_SUFFIX).read_bytes()
    study.plan.write_bytes(plan)
    for home in study.nodes.values():
        (kept,) = NodeHome(home).frozen.iterdir()
        kept.write_bytes(other)
    approved(study, "east", private=True, expect=2)
    pin(study.plan, source=weights(tmp_path))
    assert study.plan.read_bytes() == plan
    with conducting(study) as (_, conducted, seen):
        with pytest.raises(QuorumLost, match="0 usable updates came"):
            conducted()
        assert [one.code for one in seen if isinstance(one, RefusalReceived)] == [
            "not-approved"
        ] * 3


def test_a_plan_without_privacy_needs_an_approval_that_says_so(tmp_path: Path) -> None:
    study = made(tmp_path, approve=False)
    approved(study, "east", private=True, expect=5)
    approved(study, "east", private=False)


def test_a_flag_taken_out_of_the_policy_takes_the_approval_with_it(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        policy = one.node.home.policy
        policy.write_text(policy.read_text().replace("without_privacy = true", ""))
        assert one.refused() == "not-approved"
