"""Training a part of a network: which arrays move, which stay, and what the rest computes."""

import numpy as np
import pytest
import torch
from torch import nn

from hospital_node.models.registry import build, trainable_arrays, trainable_layout
from hospital_node.models.tuning import Head, head_of, trained_names, tuned
from hospital_node.training import self_test
from hospital_node.training.engines import ENGINES
from hospital_node.training.objective import image_losses
from schemas.errors import ArraysRefused, InvalidRecord
from schemas.network import (
    ClassificationNetwork,
    ConvolutionalNetwork,
    DenseNet,
    EfficientNet,
    ResNet,
    SegResNet,
)
from schemas.plan import Trainable
from schemas.wire.arrays import encoded, layout_of

SPECS: dict[str, ClassificationNetwork] = {
    "convolutional": ConvolutionalNetwork(channels=(4, 8), groups=2),
    "densenet": DenseNet(initial_features=8, growth_rate=4, blocks=(1, 1), groups=2),
    "resnet": ResNet(blocks=(1, 1, 1, 1), channels=(4, 4, 8, 8), groups=2),
    "efficientnet": EfficientNet(width=0.25, depth=0.25, groups=2),
}
SIZE = 32


def frozen_of(spec: ClassificationNetwork, trainable: Trainable, *, seed: int) -> bytes:
    module = build(spec, height=SIZE, width=SIZE, seed=seed).module
    names = trained_names(module, trainable)
    rest = {name: one for name, one in trainable_arrays(module).items() if name not in names}
    return encoded(rest, layout_of(rest))


@pytest.mark.parametrize("trainable", ["head", "norm-and-head"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_tuned_network_computes_what_the_whole_one_does(
    spec: ClassificationNetwork, trainable: Trainable
) -> None:
    whole = build(spec, height=SIZE, width=SIZE, seed=7).module
    made = build(spec, height=SIZE, width=SIZE, seed=3)
    network = tuned(made, trainable, frozen=frozen_of(spec, trainable, seed=7))
    with torch.no_grad():  # what is trained still has the values of its own seed
        for name, value in network.module.named_parameters():
            value.copy_(dict(whole.named_parameters())[name])
        images = torch.randn(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        together = network.module(network.features(images))
        alone = torch.cat([network.module(network.features(one[None])) for one in images])
        assert torch.allclose(together, whole(images), atol=1e-6)
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_only_the_head_and_then_the_norms_too_are_trained(spec: ClassificationNetwork) -> None:
    module = build(spec, height=SIZE, width=SIZE, seed=0).module
    assert sum(isinstance(layer, nn.Linear) for layer in module.modules()) == 1
    head, _ = head_of(module)
    assert trained_names(module, "head") == {f"{head}.weight", f"{head}.bias"}
    norms = sum(isinstance(layer, nn.GroupNorm) for layer in module.modules())
    assert norms > 0
    assert len(trained_names(module, "norm-and-head")) == 2 * norms + 2
    for trainable in ("head", "norm-and-head"):
        network = tuned(
            build(spec, height=SIZE, width=SIZE, seed=0),
            trainable,
            frozen=frozen_of(spec, trainable, seed=0),
        )
        names = {one.name for one in trainable_layout(network.module)}
        assert names == set(trainable_arrays(network.module)) == trained_names(module, trainable)


@pytest.mark.parametrize("trainable", ["head", "norm-and-head"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_sound_engine_passes_the_self_test_of_a_part(
    spec: ClassificationNetwork, trainable: Trainable
) -> None:
    frozen = frozen_of(spec, trainable, seed=1)
    network = tuned(build(spec, height=SIZE, width=SIZE, seed=1), trainable, frozen=frozen)
    assert self_test.check(network).refused == {}
    for engine in ENGINES.values():
        assert self_test.engine_fault(engine, network, image_losses) is None


def test_other_frozen_arrays_make_another_network() -> None:
    spec = SPECS["convolutional"]
    names = {
        tuned(
            build(spec, height=SIZE, width=SIZE, seed=1),
            "head",
            frozen=frozen_of(spec, "head", seed=seed),
        ).name
        for seed in (1, 2)
    }
    whole = build(spec, height=SIZE, width=SIZE, seed=1)
    assert tuned(whole, "all", frozen=b"") is whole
    assert len({*names, whole.name}) == 3


def test_frozen_arrays_of_another_part_are_refused() -> None:
    spec = SPECS["convolutional"]
    network = build(spec, height=SIZE, width=SIZE, seed=1)
    with pytest.raises(ArraysRefused):
        tuned(network, "norm-and-head", frozen=frozen_of(spec, "head", seed=1))


def test_a_network_without_a_linear_layer_has_no_head() -> None:
    with pytest.raises(InvalidRecord, match="no linear layer"):
        head_of(build(SegResNet(), height=SIZE, width=SIZE, seed=0).module)


def test_a_head_that_stands_at_the_top_keeps_its_name() -> None:
    layer = nn.Linear(3, 1)
    head = Head(layer, "last")
    assert [name for name, _ in head.named_parameters()] == ["last.weight", "last.bias"]
    assert np.array_equal(head(torch.ones(2, 3)).detach(), layer(torch.ones(2, 3)).detach()[:, 0])
