"""The optimizer against a loop over patients with plain autograd, and its bound."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import SGD

from hospital_node.models.registry import Network
from hospital_node.training import patient_level
from hospital_node.training.examples import Examples, image_shares
from hospital_node.training.objective import image_losses
from hospital_node.training.patient_level import (
    PatientOptimizer,
    accumulate,
    chunks,
    per_image_gradients,
)
from tests.hospital_node.training.clinics import examples_for, linear_network, small_network

NETWORK = small_network()
IMAGES = st.lists(st.integers(1, 10), min_size=1, max_size=6)


def silent(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
    del deviation
    return np.zeros(shape)


def optimizer_of(network: Network, bound: float, **given: object) -> PatientOptimizer:
    return PatientOptimizer(
        SGD(network.module.parameters(), 1.0),
        noise=given.get("noise", silent),  # type: ignore[arg-type] # a test's own noise
        noise_multiplier=2.0,
        max_grad_norm=bound,
        expected_batch_size=given.get("expected", 1.0),  # type: ignore[arg-type] # a number
    )


def clipped_sum(network: Network, examples: Examples, bound: float) -> Tensor:
    with per_image_gradients(network.module.train()):
        accumulate(network, examples, optimizer_of(network, bound))
        sums = [value.summed_grad for value in network.module.parameters()]  # type: ignore[attr-defined] # Opacus'
        return torch.cat([value.flatten() for value in sums if value is not None])


def one_at_a_time(network: Network, examples: Examples, bound: float) -> Tensor:
    """The definition: each patient's mean gradient by plain autograd, clipped once, added up."""
    parameters = list(network.module.parameters())
    total = torch.zeros(sum(value.numel() for value in parameters), dtype=torch.float64)
    for patient in range(examples.patient_count):
        own = examples.rows(examples.patients == patient)
        loss = image_losses(network.module(own.inputs), own.labels).mean()
        flat = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]).double()
        total += flat * min(1.0, bound / float(flat.norm()))
    return total


@settings(max_examples=25)
@given(images=IMAGES, bound=st.sampled_from([0.05, 0.5, 50.0]), most=st.sampled_from([1, 4, 64]))
def test_the_clipped_sum_is_that_of_one_patient_at_a_time(
    images: Sequence[int], bound: float, most: int
) -> None:
    examples = examples_for(NETWORK, images)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patient_level, "_CHUNK_IMAGES", most)
        found = clipped_sum(NETWORK, examples, bound)
    expected = one_at_a_time(NETWORK, examples, bound)
    assert float((found - expected).norm()) <= 1e-4 * float(expected.norm())


@settings(max_examples=25)
@given(
    images=st.lists(st.integers(1, 10), min_size=2, max_size=6),
    bound=st.sampled_from([1e-3, 0.3]),
    scale=st.sampled_from([1.0, 1e3]),
)
def test_a_patient_of_any_number_of_images_moves_the_sum_by_at_most_the_bound(
    images: Sequence[int], bound: float, scale: float
) -> None:
    examples = examples_for(NETWORK, images)
    examples.inputs[examples.patients == 0] *= scale
    rest = examples.rows(examples.patients != 0)
    whole = clipped_sum(NETWORK, examples, bound)
    moved = whole - clipped_sum(NETWORK, rest, bound)
    assert float(moved.norm()) <= bound * (1 + 1e-5)


def test_many_patients_do_not_blur_the_bound_by_rounding() -> None:
    network = linear_network(4097)
    examples = examples_for(network, [1] * 999 + [10])
    last = examples.patients == 999
    whole = clipped_sum(network, examples, 0.25)
    moved = whole - clipped_sum(network, examples.rows(~last), 0.25)
    assert float(moved.norm()) <= 0.25 * (1 + 1e-5)


def test_a_large_gradient_is_not_underestimated_by_rounding() -> None:
    network = linear_network(3_000_000)
    examples = examples_for(network, [1])
    found = clipped_sum(network, examples, 0.25)
    assert 0.25 * (1 - 2e-5) <= float(found.norm()) <= 0.25


@settings(max_examples=50)
@given(images=st.lists(st.integers(1, 12), max_size=20), most=st.integers(1, 20))
def test_chunks_hold_every_image_once_and_patients_whole(images: Sequence[int], most: int) -> None:
    patients = examples_for(linear_network(), images).patients
    found = list(chunks(patients, most_images=most))
    assert sorted(int(row) for rows in found for row in rows) == list(range(len(patients)))
    held = [set(patients[rows].tolist()) for rows in found]
    assert sum(map(len, held)) == len(images)
    assert all(len(rows) <= most or len(who) == 1 for rows, who in zip(found, held, strict=True))


@given(images=IMAGES)
def test_a_patient_weighs_one_in_all(images: Sequence[int]) -> None:
    examples = examples_for(linear_network(), images)
    weights = torch.zeros(len(images)).index_add_(0, examples.patients, image_shares(examples))
    torch.testing.assert_close(weights, torch.ones(len(images)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_gradient_that_is_not_finite_contributes_nothing(value: float) -> None:
    network = linear_network()
    examples = examples_for(network, [2, 1, 3])
    others = examples.rows(examples.patients != 1)
    examples.inputs[examples.patients == 1] = value
    found = clipped_sum(network, examples, 0.5)
    torch.testing.assert_close(found, clipped_sum(network, others, 0.5))


def released(network: Network, examples: Examples, optimizer: PatientOptimizer) -> list[Tensor]:
    before = [value.detach().clone() for value in network.module.parameters()]
    with per_image_gradients(network.module.train()):
        accumulate(network, examples, optimizer)
        optimizer.release()
    after = network.module.parameters()
    return [old - new.detach() for old, new in zip(before, after, strict=True)]


def test_the_divisor_is_the_declared_one_whoever_was_drawn() -> None:
    for images in ([1, 2, 3], [4]):
        network = linear_network()
        examples = examples_for(network, images)
        expected = one_at_a_time(network, examples, 0.5).float() / 40.0
        (step,) = released(network, examples, optimizer_of(network, 0.5, expected=40.0))
        torch.testing.assert_close(step.flatten(), expected, rtol=1e-4, atol=1e-8)


def test_every_step_draws_noise_of_sigma_times_the_bound_once_for_each_array() -> None:
    asked = []

    def noise(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
        asked.append((shape, deviation))
        return np.full(shape, 10.0)

    for images in ([1, 2], []):
        network = small_network()
        asked.clear()
        examples = examples_for(network, images)
        released(network, examples, optimizer_of(network, 0.5, noise=noise, expected=4.0))
        shapes = [tuple(value.shape) for value in network.module.parameters()]
        assert asked == [(shape, 1.0) for shape in shapes]


def test_a_step_without_any_patient_is_a_step_of_noise_alone() -> None:
    network = small_network()

    def ones(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
        return np.full(shape, deviation)

    steps = released(
        network, examples_for(network, []), optimizer_of(network, 0.5, noise=ones, expected=4.0)
    )
    for step in steps:
        torch.testing.assert_close(step, torch.full_like(step, 0.25))


def test_nothing_stays_behind_on_the_module() -> None:
    network = small_network()
    network.module.train()
    known = {(layer, name) for layer in network.module.modules() for name in vars(layer)}
    examples = examples_for(network, [1, 2])
    optimizer = optimizer_of(network, 0.5)
    with per_image_gradients(network.module):
        accumulate(network, examples, optimizer)
    with pytest.raises(KeyError), per_image_gradients(network.module):
        raise KeyError
    for layer in network.module.modules():
        assert {(layer, name) for name in vars(layer)} <= known
        assert not layer._forward_hooks  # noqa: SLF001 - torch has no public view of hooks
        assert not layer._backward_hooks  # noqa: SLF001
    for value in network.module.parameters():
        assert value.grad is None
        assert not vars(value)
