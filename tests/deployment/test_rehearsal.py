"""Rehearsals of sound and of broken mechanisms.

A fault is put in where training takes the plan's constants: the nodes' own code then runs with
another noise or bound than the plan claims.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deployment.cli
from deployment.rehearsal import Rehearsal, Training, rehearsed
from hospital_node.models.registry import Network
from hospital_node.training.examples import Examples
from hospital_node.training.private import Mechanism, trained_privately
from schemas.command_line import run
from schemas.errors import InputRefused
from schemas.plan import TrainingPlan
from schemas.wire.arrays import Arrays
from tests.aggregator.audit.plans import open_plan

CHEST = Path(deployment.cli.__file__).parent.parent / "demo" / "chest-xray.plan.toml"
SURE = 0.9999
"""A sound mechanism is called violated once in ten thousand runs of this test."""


def chest(**changes: Any) -> TrainingPlan:
    plan = TrainingPlan.from_toml(CHEST.read_text())
    return plan.model_copy(update={"privacy": plan.privacy.model_copy(update=changes)})


def faulty(*, noise: float = 1.0, bound: float = 1.0, rate: float | None = None) -> Training:
    """Train with noise and bound that are multiples of what the plan says, or at another rate."""

    def training(
        network: Network, examples: Examples, *, start: Arrays, mechanism: Mechanism
    ) -> Mapping[str, NDArray[np.float32]]:
        privacy = mechanism.privacy
        changed = privacy.model_copy(
            update={
                "noise_multiplier": privacy.noise_multiplier * noise / bound,
                "max_norm": privacy.max_norm * bound,
                "sampling_rate": rate or privacy.sampling_rate,
            }
        )
        # The divisor is rate times expected patients: it stays what it was.
        expected = mechanism.expected_patients * privacy.sampling_rate / changed.sampling_rate
        broken = Mechanism(changed, mechanism.work, expected)
        return trained_privately(network, examples, start=start, mechanism=broken)

    return training


def rehearsal(plan: TrainingPlan, training: Training) -> Rehearsal:
    return rehearsed(plan, canaries=800, runs=1, confidence=SURE, training=training)


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_a_sound_mechanism_is_consistent_and_its_bound_is_no_trifle(rate: float) -> None:
    sound = chest(sampling_rate=rate, noise_multiplier=4.16 * rate)
    found = rehearsed(sound, canaries=1500, runs=2, confidence=SURE)
    assert found.verdict == "consistent"
    assert found.claimed_pld < found.claimed_rdp
    assert found.claimed_pld / 2 < found.shown <= found.claimed_pld
    assert 1.0 < found.most_noise < 1.5


FAULTS = {
    "no noise": (1.0, faulty(noise=1e-9)),
    "half the noise": (1.0, faulty(noise=0.5)),
    "no clipping": (1.0, faulty(bound=1e6)),
    "clipping at twice the bound": (1.0, faulty(bound=2.0)),
    "everyone drawn where the plan says a third": (0.3, faulty(rate=1.0)),
}


@pytest.mark.parametrize(("rate", "training"), FAULTS.values(), ids=FAULTS)
def test_a_broken_mechanism_is_violated(rate: float, training: Training) -> None:
    found = rehearsal(chest(sampling_rate=rate), training)
    assert found.verdict == "VIOLATED"
    assert found.shown > found.claimed_pld
    assert found.most_noise < 1.0


def test_without_noise_even_the_bound_that_assumes_nothing_is_over_a_small_claim() -> None:
    small = chest(noise_multiplier=40.0)
    found = rehearsed(small, canaries=1000, runs=1, training=faulty(noise=1e-9))
    assert found.epsilon_one_run > found.claimed_rdp
    assert found.hits == 1.0
    assert found.alarms == 0.0


def test_a_plan_without_privacy_has_nothing_to_rehearse() -> None:
    with pytest.raises(InputRefused, match="the plan has no privacy, so it claims no epsilon"):
        rehearsed(open_plan())


def test_the_command_prints_claim_bound_and_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = run(deployment.cli.app, ["rehearse", str(CHEST), "--canaries", "200", "--runs", "1"])
    said = capsys.readouterr().out
    assert "claimed  epsilon 7.240 by loss distributions, 7.891 by Renyi accounting" in said
    assert "shown    epsilon of at least" in said
    assert status == (1 if "VIOLATED" in said else 0)
