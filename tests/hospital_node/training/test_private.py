"""One private round: its plain meaning, its noise, and what no seed or count may change."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.training.examples import Examples
from hospital_node.training.private import Mechanism, trained_privately
from schemas.errors import SelfTestFailed
from schemas.plan import PatientPrivacy, PrivateSteps, Sgd
from tests.hospital_node.training.clinics import examples_for, linear_network, small_network

WIDE = 20_000
"""Weights of a linear network whose delta shows the noise's distribution."""


def mechanism(  # noqa: PLR0913 - the plan's constants
    *,
    rate: float = 1.0,
    noise: float = 1e-6,
    bound: float = 0.3,
    steps: int = 1,
    momentum: float = 0.0,
    expected: float = 10.0,
) -> Mechanism:
    return Mechanism(
        PatientPrivacy(
            kind="patient", sampling_rate=rate, noise_multiplier=noise, max_norm=bound, delta=1e-4
        ),
        PrivateSteps(steps=steps, optimizer=Sgd(learning_rate=2.0, momentum=momentum)),
        expected,
    )


def delta(network: Network, examples: Examples, chosen: Mechanism) -> torch.Tensor:
    start = {name: array.copy() for name, array in trainable_arrays(network.module).items()}
    found = trained_privately(network, examples, start=start, mechanism=chosen)
    assert sorted(found) == sorted(start)
    assert all(array.dtype == np.float32 for array in found.values())
    return torch.cat([torch.from_numpy(array).flatten() for array in found.values()])


def test_with_next_to_no_noise_it_is_clipped_gradient_descent_with_momentum() -> None:
    network = linear_network(5)
    examples = examples_for(network, [1, 3, 2, 5])
    weights, velocity = torch.zeros(5), torch.zeros(5)
    for _ in range(3):
        errors = torch.sigmoid(examples.inputs @ weights) - examples.labels
        gradients = torch.stack(
            [
                (errors[:, None] * examples.inputs)[examples.patients == patient].mean(0)
                for patient in range(4)
            ]
        )
        clipped = gradients * (0.3 / gradients.norm(dim=1, keepdim=True)).clamp(max=1.0)
        velocity = 0.5 * velocity + clipped.sum(0) / 10.0
        weights = weights - 2.0 * velocity
    found = delta(network, examples, mechanism(steps=3, momentum=0.5))
    torch.testing.assert_close(found, weights, rtol=1e-4, atol=1e-5)


def test_the_noise_of_a_round_has_its_declared_deviation_and_shape() -> None:
    network = linear_network(WIDE, name="wide")
    nobody = examples_for(network, [])
    found = delta(network, nobody, mechanism(noise=4.0, bound=0.5, steps=3, expected=8.0))
    values = found.double().numpy() / (2.0 * 4.0 * 0.5 / 8.0 * 3**0.5)
    assert abs(values.mean()) < 6 * WIDE**-0.5
    assert abs((values**2).mean() - 1) < 6 * (2 / WIDE) ** 0.5
    assert abs((values**4).mean() - 3) < 6 * (96 / WIDE) ** 0.5


def test_patients_are_drawn_at_the_rate_and_scaled_by_the_declared_number() -> None:
    network = linear_network(1)
    count, rate = 4000, 0.25
    examples = Examples(torch.ones((count, 1)), torch.zeros(count), torch.arange(count))
    found = float(delta(network, examples, mechanism(rate=rate, bound=9.0, expected=count)))
    drawn = found / (-2.0 * 0.5 / (rate * count))
    assert abs(drawn - rate * count) < 6 * (count * rate * (1 - rate)) ** 0.5
    assert drawn == pytest.approx(round(drawn), abs=1e-3)


def test_a_step_that_draws_nobody_still_counts_and_moves_by_noise() -> None:
    network = small_network()
    examples = examples_for(network, [2, 3])
    found = delta(network, examples, mechanism(rate=1e-6, noise=1.0, steps=2))
    assert (found != 0).all()


def test_seeds_do_not_make_a_round_repeat() -> None:
    network = linear_network(8)
    examples = examples_for(network, [1, 2])
    start = trainable_arrays(network.module)
    deltas = []
    for _ in range(2):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 - the very call that must have no effect
        found = trained_privately(network, examples, start=start, mechanism=mechanism(noise=1.0))
        deltas.append(found["0.weight"])
    assert (deltas[0] != deltas[1]).all()


def test_training_runs_only_after_the_self_test() -> None:
    class Coupled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return functional.layer_norm(self.layer(inputs).squeeze(1), inputs.shape[:1])

    plain = linear_network(3)
    network = Network("coupled", Coupled(), plain.features, (3,))
    examples = examples_for(plain, [1, 2])
    before = trainable_arrays(network.module)
    start = {name: array + 1 for name, array in before.items()}
    with pytest.raises(SelfTestFailed):
        trained_privately(network, examples, start=start, mechanism=mechanism())
    after = trainable_arrays(network.module)
    assert all(np.array_equal(before[name], after[name]) for name in before)
