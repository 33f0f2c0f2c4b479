"""Plain local work: repeatable, side by side too, and it learns."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hospital_node.models.registry import trainable_arrays
from hospital_node.training.examples import Examples
from hospital_node.training.local import Pace, cosine_factor, trained
from schemas.errors import CohortRefused
from schemas.network import ConvolutionalNetwork
from schemas.plan import AdamW, Augmentation, Epochs, Sgd
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
    factors = [cosine_factor(Pace(number, 9)) for number in range(1, 10)]
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
