"""Networks from the registry: reproducible arrays, one image at a time, and refusals by name."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from hospital_node.models.registry import admitted, build, load_arrays, trainable_arrays
from schemas.errors import ArraysRefused, InvalidRecord
from schemas.names import Name
from schemas.network import ConvolutionalNetwork, DenseNet, GaborFourier, NetworkSpec

SPECS: dict[str, NetworkSpec] = {
    "convolutional": ConvolutionalNetwork(channels=(4, 8), groups=2),
    "densenet": DenseNet(initial_features=8, growth_rate=4, blocks=(2, 2), groups=2),
    "gabor-fourier": GaborFourier(features=64),
}
each_network = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def images(count: int, size: int = 32) -> Tensor:
    return torch.randn((count, 1, size, size), generator=torch.Generator().manual_seed(count))


def arrays_of(spec: NetworkSpec, *, seed: int) -> dict[str, bytes]:
    module = build(spec, height=32, width=32, seed=seed).module
    return {name: array.tobytes() for name, array in trainable_arrays(module).items()}


@each_network
def test_output_is_one_logit_per_image_and_a_function_of_that_image_alone(
    spec: NetworkSpec,
) -> None:
    network = build(spec, height=32, width=32, seed=1)
    nn.init.normal_(next(network.module.parameters()))
    inputs = network.features(images(5))
    assert inputs.shape == (5, *network.shape)
    together = network.module(inputs)
    alone = torch.cat([network.module(inputs[row : row + 1]) for row in range(5)])
    assert together.shape == (5,)
    torch.testing.assert_close(together, alone)


@each_network
def test_arrays_are_a_function_of_specification_size_and_seed(spec: NetworkSpec) -> None:
    state = torch.random.get_rng_state()
    first = arrays_of(spec, seed=1)
    torch.manual_seed(99)
    assert arrays_of(spec, seed=1) == first
    torch.random.set_rng_state(state)
    arrays_of(spec, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_nodes_that_build_side_by_side_get_the_same_arrays() -> None:
    spec = SPECS["densenet"]
    expected = arrays_of(spec, seed=3)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: arrays_of(spec, seed=3), range(8)))
    assert all(one == expected for one in found)


def test_another_seed_gives_other_arrays() -> None:
    spec = SPECS["convolutional"]
    assert arrays_of(spec, seed=1) != arrays_of(spec, seed=2)


@each_network
def test_array_names_may_cross_the_wire(spec: NetworkSpec) -> None:
    for name in arrays_of(spec, seed=0):
        TypeAdapter(Name).validate_python(name)


@each_network
def test_a_name_stands_for_one_specification_and_size(spec: NetworkSpec) -> None:
    others = [build(other, height=32, width=32, seed=0).name for other in SPECS.values()]
    assert others.count(build(spec, height=32, width=32, seed=5).name) == 1
    assert build(spec, height=40, width=32, seed=0).name not in others


def test_the_reference_network_has_its_published_size() -> None:
    module = build(ConvolutionalNetwork(), height=64, width=64, seed=0).module
    assert sum(array.size for array in trainable_arrays(module).values()) == 61_601


@each_network
def test_loaded_arrays_are_the_ones_read_out(spec: NetworkSpec) -> None:
    module = build(spec, height=32, width=32, seed=0).module
    random = np.random.default_rng(0)
    wanted = {
        name: random.normal(size=array.shape).astype(np.float32)
        for name, array in trainable_arrays(module).items()
    }
    for array in wanted.values():
        array.flags.writeable = False
    load_arrays(module, wanted)
    found = trainable_arrays(module)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    with pytest.raises(ArraysRefused, match="differ from the network's"):
        load_arrays(module, {**wanted, "another": np.zeros(1, np.float32)})


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))


def batch_normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False))


def with_buffer() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 1), Counting())


def running_instance_norm() -> nn.Module:
    return nn.Sequential(nn.InstanceNorm2d(2, affine=True, track_running_stats=True))


def in_place() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))


def shared() -> nn.Module:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    return nn.Sequential(first, second)


def registered_twice() -> nn.Module:
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, layer)


def double() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 1).double())


def frozen() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 1).requires_grad_(requires_grad=False))


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (batch_normalised, "1 (BatchNorm2d) is a batch normalisation, which couples images"),
        (with_buffer, "1 (Counting) holds the buffer seen"),
        (running_instance_norm, "0 (InstanceNorm2d) holds the buffer running_mean"),
        (in_place, "1 (ReLU) works in place"),
        (shared, "1 (Linear) shares weight with 0 (Linear)"),
        (registered_twice, "1 (Linear) shares weight with 0 (Linear)"),
        (double, "0 (Linear) holds weight, which is not float32 or not trainable"),
        (frozen, "0 (Linear) holds weight, which is not float32 or not trainable"),
    ],
)
def test_a_module_that_breaks_a_rule_is_refused_by_name(
    make: Callable[[], nn.Module], fault: str
) -> None:
    with pytest.raises(InvalidRecord, match=re.escape(f"network refused: {fault}; only named")):
        admitted(make())


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (ConvolutionalNetwork(channels=(8,) * 6), "6 poolings of 32 x 32 pixels leave none"),
        (ConvolutionalNetwork(channels=(6,), groups=4), "divisible"),
        (DenseNet(initial_features=6, growth_rate=3, blocks=(2,), groups=4), "divisible"),
    ],
)
def test_a_specification_that_does_not_fit_is_refused(spec: NetworkSpec, fault: str) -> None:
    with pytest.raises(InvalidRecord, match=f"network refused: .*{fault}"):
        build(spec, height=32, width=32, seed=0)
