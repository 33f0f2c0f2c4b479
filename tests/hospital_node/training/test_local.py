"""Plain local work: repeatable, side by side too, and it learns."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hospital_node.models.registry import trainable_arrays
from hospital_node.training.corrections import proximal, steered
from hospital_node.training.examples import Examples
from hospital_node.training.local import Pace, normalised, steps_of, trained
from schemas.errors import CohortRefused
from schemas.network import ConvolutionalNetwork
from schemas.plan import AdamW, Augmentation, Epochs, Gradient, Sgd, Steps
from tests.hospital_node.training.clinics import examples_for, linear_network, small_network

DROPPING = ConvolutionalNetwork(channels=(4, 8), groups=2, dropout=0.3)
WORK = Epochs(
    epochs=2,
    batch_images=8,
    optimizer=AdamW(learning_rate=0.01),
    cosine=True,
    augmentation=Augmentation(),
    seed=4,
)
PACE = Pace(round=2, rounds=5, site="north")


def delta(work: Epochs = WORK, pace: Pace = PACE) -> dict[str, NDArray[np.float32]]:
    network = small_network(DROPPING)
    start = trainable_arrays(network.module)
    examples = examples_for(network, [3, 8, 1, 9])
    return trained(network, examples, start=start, work=work, pace=pace)


def same(first: dict[str, NDArray[np.float32]], second: dict[str, NDArray[np.float32]]) -> bool:
    return all(np.array_equal(first[name], second[name]) for name in first)


def test_a_delta_repeats_bit_for_bit_whatever_the_global_seed() -> None:
    first = delta()
    torch.manual_seed(77)
    before = torch.random.get_rng_state()
    assert same(first, delta())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_nodes_that_train_side_by_side_do_not_disturb_each_other() -> None:
    expected = delta()
    with ThreadPoolExecutor(3) as pool:
        assert all(same(expected, one) for one in pool.map(lambda _: delta(), range(6)))


@pytest.mark.parametrize(
    "pace", [replace(PACE, round=3), replace(PACE, site="south")], ids=["round", "site"]
)
def test_another_round_or_site_draws_anew(pace: Pace) -> None:
    work = WORK.model_copy(update={"cosine": False})
    assert not same(delta(work), delta(work, pace))


def test_another_seed_of_the_plan_draws_anew() -> None:
    assert not same(delta(), delta(WORK.model_copy(update={"seed": 5})))


def test_one_batch_of_plain_descent_is_the_mean_gradient() -> None:
    network = linear_network(4)
    examples = examples_for(network, [3, 2])
    work = Epochs(epochs=1, batch_images=99, optimizer=Sgd(learning_rate=0.5))
    start = trainable_arrays(network.module)
    found = trained(network, examples, start=start, work=work, pace=PACE)
    expected = -0.5 * ((0.5 - examples.labels)[:, None] * examples.inputs).mean(0)
    torch.testing.assert_close(torch.from_numpy(found["0.weight"][0]), expected)


def test_every_image_is_seen_once_in_an_epoch() -> None:
    network = linear_network(50)
    examples = Examples(torch.eye(50), torch.zeros(50), torch.arange(50))
    work = Epochs(epochs=1, batch_images=7, optimizer=Sgd(learning_rate=1e-3))
    found = trained(network, examples, start=trainable_arrays(network.module), work=work, pace=PACE)
    moved = found["0.weight"][0]
    assert (moved < 0).all()
    assert moved.min() > 1.5 * moved.max()


def test_it_learns() -> None:
    network = linear_network(2)
    inputs = torch.randn((64, 2), generator=torch.Generator().manual_seed(0))
    examples = Examples(inputs, (inputs[:, 0] > 0).float(), torch.arange(64))
    work = Epochs(epochs=20, batch_images=8, optimizer=AdamW(learning_rate=0.05))
    start = trainable_arrays(network.module)
    found = trained(network, examples, start=start, work=work, pace=PACE)
    logits = inputs @ torch.from_numpy(found["0.weight"][0])
    assert float(((logits > 0).float() == examples.labels).float().mean()) > 0.95


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    factors = [WORK.factor(number, 9) for number in range(1, 10)]
    assert factors[0] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert 0.02 < factors[-1] < 0.06


def test_a_cohort_without_train_images_is_refused() -> None:
    network = linear_network()
    with pytest.raises(CohortRefused, match="no train image"):
        trained(
            network,
            examples_for(network, []),
            start=trainable_arrays(network.module),
            work=WORK,
            pace=PACE,
        )


def test_steps_are_the_passes_cut_where_the_plan_says() -> None:
    network = small_network()
    start, examples = trainable_arrays(network.module), examples_for(network, [3, 8, 1, 9])
    shared = WORK.model_dump(exclude={"kind", "epochs", "optimizer", "augmentation"})
    optimizer = Sgd(learning_rate=0.1)
    passes = Epochs(epochs=2, optimizer=optimizer, **shared)
    six = Steps(steps=6, optimizer=optimizer, **shared)
    assert steps_of(passes, len(examples)) == 6
    found = [
        trained(network, examples, start=start, work=work, pace=PACE)
        for work in (passes, six, six.model_copy(update={"steps": 5}))
    ]
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_the_gradient_is_the_centralised_one_also_over_several_chunks() -> None:
    network = small_network()
    start, examples = trainable_arrays(network.module), examples_for(network, [3, 8, 1, 170])
    found = trained(network, examples, start=start, work=Gradient(), pace=PACE)
    losses = functional.binary_cross_entropy_with_logits(
        network.module(examples.inputs), examples.labels
    )
    network.module.zero_grad()
    torch.autograd.backward(losses)
    for name, value in network.module.named_parameters():
        assert value.grad is not None
        np.testing.assert_allclose(found[name], -value.grad.numpy(), rtol=0, atol=1e-6)


def test_the_proximal_term_is_the_papers() -> None:
    network, mu, rate = linear_network(), 0.7, 0.3
    examples = examples_for(network, [4, 5])
    start = {"0.weight": np.array([[0.3, -0.2, 0.1]], dtype=np.float32)}
    work = Epochs(epochs=3, batch_images=99, optimizer=Sgd(learning_rate=rate))
    pace = replace(PACE, correction=proximal(start, mu))
    found = trained(network, examples, start=start, work=work, pace=pace)["0.weight"][0]
    inputs, labels = examples.inputs.double().numpy(), examples.labels.double().numpy()
    anchor = start["0.weight"][0].astype(float)
    weights = anchor.copy()
    for _ in range(3):
        scores = 1 / (1 + np.exp(-inputs @ weights))
        weights -= rate * (inputs.T @ (scores - labels) / len(labels) + mu * (weights - anchor))
    np.testing.assert_allclose(found, weights - anchor, atol=1e-6)


def test_an_offset_moves_every_step_by_the_rate_times_itself() -> None:
    network = linear_network()
    examples = Examples(torch.zeros((6, 3)), torch.zeros(6), torch.arange(6))
    start = trainable_arrays(network.module)
    offset = {"0.weight": np.array([[1.0, -2.0, 0.5]], dtype=np.float32)}
    work = Steps(steps=4, batch_images=2, optimizer=Sgd(learning_rate=0.1))
    pace = replace(PACE, correction=steered(offset))
    found = trained(network, examples, start=start, work=work, pace=pace)
    np.testing.assert_allclose(found["0.weight"], -0.4 * offset["0.weight"], rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_fednova_divides_by_the_weight_of_all_gradients(steps: int, momentum: float) -> None:
    work = Steps(steps=steps, batch_images=8, optimizer=Sgd(learning_rate=0.1, momentum=momentum))
    moved, velocity = 0.0, 0.0
    for _ in range(steps):
        velocity = momentum * velocity + 1.0
        moved += velocity
    found = normalised({"w": np.array([moved], dtype=np.float32)}, work, images=40, effective=5.0)
    np.testing.assert_allclose(found["w"], [5.0], rtol=1e-6)


def test_fednova_hides_how_many_steps_a_site_took() -> None:
    work = Epochs(epochs=2, batch_images=8, optimizer=Sgd(learning_rate=0.1))
    ones = {"w": np.ones(3, dtype=np.float32)}
    for images in (8, 80, 800):
        delta = {"w": steps_of(work, images) * ones["w"]}
        found = normalised(delta, work, images=images, effective=4.0)
        np.testing.assert_allclose(found["w"], 4.0 * ones["w"], rtol=1e-6)
