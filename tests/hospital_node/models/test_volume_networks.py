"""Networks over volumes: the same kinds, in three dimensions."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hospital_node.models.registry import Network, build
from hospital_node.training import self_test
from schemas.errors import InvalidRecord
from schemas.network import (
    ConvolutionalNetwork,
    DenseNet,
    EfficientNet,
    GaborFourier,
    NetworkSpec,
    SegResNet,
)
from tests.hospital_node.models.test_networks import ALL, SEGMENTERS, Pooled

SIDE = 16
VOLUMETRIC = {name: spec for name, spec in ALL.items() if name != "efficientnet"}
CHECKED = ("convolutional", "densenet", "segresnet", "unet")
"""Of each way of being built one: the check takes long."""


def made(spec: NetworkSpec) -> Network:
    network = build(spec, depth=SIDE, height=SIDE, width=SIDE, seed=1)
    if spec in SEGMENTERS.values():
        return replace(network, name=f"pooled-{network.name}", module=Pooled(network.module))
    return network


def volumes(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn((count, 1, SIDE, SIDE, SIDE), generator=generator)


@pytest.mark.parametrize("spec", VOLUMETRIC.values(), ids=VOLUMETRIC)
def test_output_is_a_function_of_that_volume_alone(spec: NetworkSpec) -> None:
    module = build(spec, depth=SIDE, height=SIDE, width=SIDE, seed=1).module.train()
    inputs = volumes(3)
    with torch.no_grad():
        together = module(inputs)
        alone = torch.cat([module(inputs[row : row + 1]) for row in range(3)])
    assert together.shape == (inputs.shape if spec in SEGMENTERS.values() else (3,))
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    assert not list(module.buffers())


@pytest.mark.parametrize("name", CHECKED)
def test_the_self_test_passes_over_volumes(name: str) -> None:
    self_test.check(made(VOLUMETRIC[name]))


def test_a_volume_and_an_image_of_its_sides_are_other_networks() -> None:
    spec = ConvolutionalNetwork(channels=(4, 8), groups=2)
    volume = build(spec, depth=8, height=16, width=16, seed=1)
    plane = build(spec, height=16, width=16, seed=1)
    assert volume.name == f"{plane.name.removesuffix('16x16')}8x16x16"
    assert volume.shape == (1, 8, 16, 16)


@pytest.mark.parametrize(
    ("spec", "size", "message"),
    [
        (ConvolutionalNetwork(), (8, 16, 16), "4 poolings of 8 x 16 x 16 pixels leave none"),
        (SegResNet(), (8, 15, 16), "images of 8 x 15 x 16 pixels do not fit"),
        (DenseNet(), (2, 16, 16), "images of 2 x 16 x 16 pixels do not fit"),
        (EfficientNet(), (16, 16, 16), "efficientnet takes images, not volumes"),
        (GaborFourier(), (16, 16, 16), "gabor-fourier takes images, not volumes"),
    ],
)
def test_a_volume_that_does_not_fit_is_refused_when_the_network_is_built(
    spec: NetworkSpec, size: tuple[int, int, int], message: str
) -> None:
    depth, height, width = size
    with pytest.raises(InvalidRecord, match=message):
        build(spec, depth=depth, height=height, width=width, seed=0)
