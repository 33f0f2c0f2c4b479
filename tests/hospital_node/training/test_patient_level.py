"""Clipped sums against a loop over patients with plain autograd, their bound, and the release."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.optim import SGD

from hospital_node.models.registry import Network
from hospital_node.training import patient_level
from hospital_node.training.engines import ENGINES
from hospital_node.training.engines_clipping import Chunk
from hospital_node.training.examples import Examples, image_shares
from hospital_node.training.objective import image_losses
from hospital_node.training.patient_level import Noise, Release, chunks, clipped_sum, release
from tests.hospital_node.training.clinics import examples_for, linear_network, small_network

NETWORK = small_network()
IMAGES = st.lists(st.integers(1, 10), min_size=1, max_size=6)


def silent(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
    del deviation
    return np.zeros(shape)


def flat_sum(network: Network, examples: Examples, bound: float, engine: str = "layers") -> Tensor:
    module = network.module.train()
    sums = clipped_sum(module, examples, bound=bound, engine=ENGINES[engine])
    return torch.cat([one.flatten() for one in sums])


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


@settings(max_examples=40, deadline=None)
@given(
    images=IMAGES,
    bound=st.sampled_from([0.05, 0.5, 50.0]),
    most=st.sampled_from([1, 4, 64]),
    engine=st.sampled_from(sorted(ENGINES)),
)
def test_the_clipped_sum_is_that_of_one_patient_at_a_time(
    images: Sequence[int], bound: float, most: int, engine: str
) -> None:
    examples = examples_for(NETWORK, images)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patient_level, "_CHUNK_IMAGES", most)
        found = flat_sum(NETWORK, examples, bound, engine)
    expected = one_at_a_time(NETWORK, examples, bound)
    assert float((found - expected).norm()) <= 1e-4 * float(expected.norm())


@settings(max_examples=40, deadline=None)
@given(
    images=st.lists(st.integers(1, 10), min_size=2, max_size=6),
    bound=st.sampled_from([1e-3, 0.3]),
    scale=st.sampled_from([1.0, 1e3]),
    engine=st.sampled_from(sorted(ENGINES)),
)
def test_a_patient_of_any_number_of_images_moves_the_sum_by_at_most_the_bound(
    images: Sequence[int], bound: float, scale: float, engine: str
) -> None:
    examples = examples_for(NETWORK, images)
    examples.inputs[examples.patients == 0] *= scale
    rest = examples.rows(examples.patients != 0)
    whole = flat_sum(NETWORK, examples, bound, engine)
    moved = whole - flat_sum(NETWORK, rest, bound, engine)
    assert float(moved.norm()) <= bound * (1 + 1e-5)


def test_many_patients_do_not_blur_the_bound_by_rounding() -> None:
    network = linear_network(4097)
    examples = examples_for(network, [1] * 999 + [10])
    last = examples.patients == 999
    whole = flat_sum(network, examples, 0.25)
    moved = whole - flat_sum(network, examples.rows(~last), 0.25)
    assert float(moved.norm()) <= 0.25 * (1 + 1e-5)


def test_a_large_gradient_is_not_underestimated_by_rounding() -> None:
    network = linear_network(3_000_000)
    examples = examples_for(network, [1])
    found = flat_sum(network, examples, 0.25)
    assert 0.25 * (1 - 2e-5) <= float(found.norm()) <= 0.25


@settings(max_examples=50)
@given(images=st.lists(st.integers(1, 12), max_size=20), most=st.integers(1, 20))
def test_chunks_hold_every_image_once_and_patients_whole(images: Sequence[int], most: int) -> None:
    patients = examples_for(linear_network(), images).patients
    found = list(chunks(patients, most_images=most))
    assert sorted(int(row) for rows, _ in found for row in rows) == list(range(len(patients)))
    for rows, held in found:
        blocks = patients[rows].view(held, -1)
        assert (blocks == blocks[:, :1]).all()
        assert blocks.numel() <= most or held == 1
    assert sum(held for _, held in found) == len(images)


@given(images=IMAGES)
def test_a_patient_weighs_one_in_all(images: Sequence[int]) -> None:
    examples = examples_for(linear_network(), images)
    weights = torch.zeros(len(images)).index_add_(0, examples.patients, image_shares(examples))
    torch.testing.assert_close(weights, torch.ones(len(images)))


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_gradient_that_is_not_finite_contributes_nothing(value: float, engine: str) -> None:
    network = linear_network()
    examples = examples_for(network, [2, 1, 3, 1])
    others = examples.rows(examples.patients != 1)
    examples.inputs[examples.patients == 1] = value
    found = flat_sum(network, examples, 0.5, engine)
    torch.testing.assert_close(found, flat_sum(network, others, 0.5, engine))
    alone = examples.rows(examples.patients == 1)
    assert not flat_sum(network, alone, 0.5, engine).any()


@pytest.mark.parametrize("engine", sorted(ENGINES))
@settings(max_examples=60)
@given(
    powers=st.tuples(*[st.floats(-45, 38.5)] * 3),
    bound=st.sampled_from([1e-3, 0.25, 1.0, 10.0]),
    seed=st.integers(0, 99),
)
@example(powers=(18.1, -20.0, 25.1), bound=1.0, seed=0)
@example(powers=(18.1, -20.0, 25.0), bound=1.0, seed=1)
@example(powers=(18.1, -20.0, 24.5), bound=0.25, seed=0)
@example(powers=(38.0, -20.0, -21.0), bound=1e-3, seed=0)
def test_no_arrays_and_no_input_lift_a_patient_over_the_bound(
    engine: str, powers: tuple[float, float, float], bound: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(64, 64, bias=False), nn.Linear(64, 1, bias=False), nn.Flatten(0)
    )
    inputs = torch.randn((1, 64), generator=generator) * 10.0 ** powers[0]
    with torch.no_grad():
        for value, power in zip(module.parameters(), powers[1:], strict=True):
            value.copy_(torch.randn(value.shape, generator=generator) * 10.0**power)
        wrong = (module(inputs) < 0).float()
    chunk = Chunk(inputs, wrong, 1)
    sums = ENGINES[engine](module, chunk, bound, image_losses)
    length = torch.cat([one.double().flatten() for one in sums]).norm()
    assert float(length) <= bound


def test_opacus_own_optimizer_gives_the_same_step_for_one_image_a_patient() -> None:
    network, twin = small_network(), small_network()
    examples = examples_for(network, [1] * 12)
    step = released(network, examples, bound=0.1, divisor=7.0)
    before = [value.detach().clone() for value in twin.module.parameters()]
    hooked = GradSampleModule(twin.module.train(), loss_reduction="sum")
    optimizer = DPOptimizer(
        SGD(twin.module.parameters(), 1.0),
        noise_multiplier=0.0,
        max_grad_norm=0.1,
        expected_batch_size=7.0,
        loss_reduction="mean",
    )
    logits = hooked(examples.inputs.requires_grad_())
    torch.autograd.backward(image_losses(logits, examples.labels).sum())
    optimizer.step()
    for moved, old, new in zip(step, before, twin.module.parameters(), strict=True):
        torch.testing.assert_close(moved, old - new.detach(), rtol=1e-4, atol=1e-6)


def released(
    network: Network,
    examples: Examples,
    *,
    bound: float = 0.5,
    divisor: float = 1.0,
    noise: Noise = silent,
) -> list[Tensor]:
    module = network.module.train()
    before = [value.detach().clone() for value in module.parameters()]
    sums = clipped_sum(module, examples, bound=bound, engine=ENGINES["layers"])
    optimizer = SGD(module.parameters(), 1.0)
    release(sums, module, optimizer, constants=Release(bound, 2.0, divisor), noise=noise)
    return [old - new.detach() for old, new in zip(before, module.parameters(), strict=True)]


def test_the_divisor_is_the_declared_one_whoever_was_drawn() -> None:
    for images in ([1, 2, 3], [4]):
        network = linear_network()
        examples = examples_for(network, images)
        expected = one_at_a_time(network, examples, 0.5).float() / 40.0
        (step,) = released(network, examples, divisor=40.0)
        torch.testing.assert_close(step.flatten(), expected, rtol=1e-4, atol=1e-8)


def test_every_step_draws_noise_of_sigma_times_the_bound_once_for_each_array() -> None:
    asked = []

    def noise(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
        asked.append((shape, deviation))
        return np.full(shape, 10.0)

    for images in ([1, 2], []):
        network = small_network()
        asked.clear()
        released(network, examples_for(network, images), noise=noise, divisor=4.0)
        shapes = [tuple(value.shape) for value in network.module.parameters()]
        assert asked == [(shape, 1.0) for shape in shapes]


def test_a_step_without_any_patient_is_a_step_of_noise_alone() -> None:
    network = small_network()

    def ones(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
        return np.full(shape, deviation)

    steps = released(network, examples_for(network, []), noise=ones, divisor=4.0)
    for step in steps:
        torch.testing.assert_close(step, torch.full_like(step, 0.25))


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_nothing_stays_behind_on_the_module(engine: str) -> None:
    def broken(_logits: Tensor, _labels: Tensor) -> Tensor:
        raise KeyError

    module = small_network().module.train()
    known = {(layer, name) for layer in module.modules() for name in vars(layer)}
    examples = examples_for(small_network(), [1, 2])
    clipped_sum(module, examples, bound=0.5, engine=ENGINES[engine])
    with pytest.raises(KeyError):
        clipped_sum(module, examples, bound=0.5, engine=ENGINES[engine], objective=broken)
    for layer in module.modules():
        assert {(layer, name) for name in vars(layer)} <= known
        assert not layer._forward_hooks  # noqa: SLF001 - torch has no public view of hooks
        assert not layer._backward_hooks  # noqa: SLF001
    for value in module.parameters():
        assert value.grad is None
        assert value.requires_grad
        assert not vars(value)
