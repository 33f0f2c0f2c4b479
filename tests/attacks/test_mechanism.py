"""Seeds, losses and builds that would leave a patient without the noise or the bound."""

import random
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from deployment.rehearsal import rehearsed
from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.training.examples import Examples
from hospital_node.training.objective import image_losses
from hospital_node.training.private import Mechanism, trained_privately
from schemas.errors import SelfTestFailed
from schemas.plan import PatientPrivacy, PrivateSteps, Sgd
from schemas.wire.arrays import Arrays
from tests.aggregator.audit.plans import private_plan
from tests.hospital_node.training.clinics import examples_for, small_network

MECHANISM = Mechanism(
    PatientPrivacy(
        kind="patient", sampling_rate=0.5, noise_multiplier=2.0, max_norm=1.0, delta=1e-4
    ),
    PrivateSteps(steps=2, optimizer=Sgd(learning_rate=0.1)),
    expected_patients=10.0,
)


def trained_once(**objective: object) -> NDArray[np.float32]:
    network = small_network()
    delta = trained_privately(
        network,
        examples_for(network, [1, 2, 1, 3]),
        start=trainable_arrays(network.module),
        mechanism=MECHANISM,
        **objective,  # type: ignore[arg-type] # an objective, or none
    )
    return np.concatenate([one.ravel() for one in delta.values()])


def seeded() -> NDArray[np.float32]:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 - the generator that an attacker would reach for
    random.seed(7)
    return trained_once()


def test_no_seed_makes_two_releases_the_same() -> None:
    first, second = (seeded() for _ in range(2))
    assert not np.isclose(first, second).any()


def weighted_over_the_batch(logits: Tensor, labels: Tensor) -> Tensor:
    """Weigh classes as many do: normalised by the weights of the images drawn with this one."""
    weights = 1.0 + 19.0 * labels
    return image_losses(logits, labels) * weights * len(labels) / weights.sum()


def test_a_loss_weighted_over_the_batch_trains_nothing() -> None:
    with pytest.raises(SelfTestFailed, match="that an image's loss moves by"):
        trained_once(objective=weighted_over_the_batch)


def quiet(
    network: Network, examples: Examples, *, start: Arrays, mechanism: Mechanism
) -> Mapping[str, NDArray[np.float32]]:
    """Train as a build would whose noise is half of what the plan says."""
    less = {"noise_multiplier": 0.5 * mechanism.privacy.noise_multiplier}
    privacy = mechanism.privacy.model_copy(update=less)
    broken = Mechanism(privacy, mechanism.work, mechanism.expected_patients)
    return trained_privately(network, examples, start=start, mechanism=broken)


def test_a_build_with_too_little_noise_does_not_pass_a_rehearsal() -> None:
    plan = private_plan()
    loud = plan.privacy.model_copy(update={"sampling_rate": 1.0})
    found = rehearsed(
        plan.model_copy(update={"privacy": loud}), canaries=1000, runs=1, training=quiet
    )
    assert found.verdict == "VIOLATED"
