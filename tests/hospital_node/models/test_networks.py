"""Every network against one image at a time; and those that are not offered."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from hospital_node.models.adaptation import adapted
from hospital_node.models.registry import Network, build
from hospital_node.training import self_test
from schemas.errors import InvalidRecord
from schemas.network import (
    AttentionUnet,
    BasicUnet,
    ConvolutionalNetwork,
    DenseNet,
    EfficientNet,
    NetworkSpec,
    ResNet,
    SegResNet,
    Unet,
)

SIZE = 32
CLASSIFIERS: dict[str, NetworkSpec] = {
    "convolutional": ConvolutionalNetwork(channels=(4, 8), groups=2),
    "densenet": DenseNet(initial_features=8, growth_rate=4, blocks=(2, 2), groups=2),
    "efficientnet": EfficientNet(width=0.25, depth=0.25),
    "resnet": ResNet(channels=(8, 8, 16, 16), blocks=(1, 1, 1, 1)),
}
SEGMENTERS: dict[str, NetworkSpec] = {
    "attention-unet": AttentionUnet(channels=(4, 8, 16), groups=4),
    "basic-unet": BasicUnet(features=(4, 4, 8, 8, 16, 4), groups=4),
    "segresnet": SegResNet(blocks_down=(1, 1, 2), blocks_up=(1, 1)),
    "unet": Unet(channels=(4, 8, 16), groups=4),
    "unet-plain": Unet(channels=(4, 8, 16), residual_units=0, groups=4),
}
ALL = CLASSIFIERS | SEGMENTERS
each_network = pytest.mark.parametrize("spec", ALL.values(), ids=ALL.keys())


class Pooled(nn.Module):
    """A segmentation network as one logit per image, so that the self-test has a loss for it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        # A mean alone would not see gradients that are mixed between the pixels of an image.
        return (logits * torch.linspace(0.1, 1.0, logits.shape[-1])).flatten(1).mean(1)


def made(spec: NetworkSpec) -> Network:
    network = build(spec, height=SIZE, width=SIZE, seed=1)
    if spec in SEGMENTERS.values():
        return replace(network, name=f"pooled-{network.name}", module=Pooled(network.module))
    return network


def images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn((count, 1, SIZE, SIZE), generator=generator)


@each_network
def test_output_is_a_function_of_that_image_alone(spec: NetworkSpec) -> None:
    module = build(spec, height=SIZE, width=SIZE, seed=1).module.train()
    inputs = images(3)
    with torch.no_grad():
        together = module(inputs)
        alone = torch.cat([module(inputs[row : row + 1]) for row in range(3)])
    assert together.shape == (inputs.shape if spec in SEGMENTERS.values() else (3,))
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    assert not list(module.buffers())


@each_network
def test_the_self_test_passes(spec: NetworkSpec) -> None:
    self_test.check(made(spec))


@each_network
def test_vmapped_gradients_are_those_of_one_image_at_a_time(spec: NetworkSpec) -> None:
    module = made(spec).module.double().train()
    parameters = dict(module.named_parameters())
    inputs = images(2).double()

    def loss(values: Mapping[str, Tensor], image: Tensor) -> Tensor:
        logit: Tensor = functional_call(module, dict(values), (image[None],))
        return torch.nn.functional.softplus(logit).sum()

    found = vmap(grad(loss), (None, 0))(
        {name: value.detach() for name, value in parameters.items()}, inputs
    )
    for row, image in enumerate(inputs):
        plain = torch.autograd.grad(loss(parameters, image), list(parameters.values()))
        for name, one in zip(parameters, plain, strict=True):
            torch.testing.assert_close(found[name][row], one, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("spec", [SegResNet(), Unet(), AttentionUnet()], ids=lambda one: one.kind)
def test_an_image_size_that_does_not_fit_is_refused_when_the_network_is_built(
    spec: NetworkSpec,
) -> None:
    with pytest.raises(InvalidRecord, match="images of 30 x 33 pixels do not fit the network"):
        build(spec, height=30, width=33, seed=0)


@pytest.mark.parametrize("kind", ["dynunet", "swin-unetr", "unetr", "vit"])
def test_networks_whose_gradients_go_wrong_are_not_offered(kind: str) -> None:
    with pytest.raises(ValueError, match="does not match any of the expected tags"):
        TypeAdapter(NetworkSpec).validate_python({"kind": kind})


def test_what_couples_images_works_in_place_or_draws_is_replaced() -> None:
    body = nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.InstanceNorm2d(6, track_running_stats=True), nn.Dropout2d(0.5)),
    )
    found = adapted(body, groups=4)
    norms = [one for one in found.modules() if isinstance(one, nn.GroupNorm)]
    assert [(one.num_groups, one.num_channels) for one in norms] == [(2, 6), (2, 6)]
    assert not list(found.buffers())
    assert not any(getattr(one, "inplace", False) for one in found.modules())
    assert not any(isinstance(one, nn.Dropout2d) for one in found.modules())
