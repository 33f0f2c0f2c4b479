"""The self-test passes sound networks and refuses, by name, those that go silently wrong."""

import pytest
import torch
from torch import Tensor, nn

from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.training import self_test
from schemas.errors import SelfTestFailed
from schemas.network import DenseNet, GaborFourier
from tests.hospital_node.training.clinics import SMALL, small_network


class Unsound(nn.Module):
    """A small classifier, to be made wrong in one way."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled(self.convolution(images))).squeeze(1)
        return logits

    def pooled(self, values: Tensor) -> Tensor:
        return values.mean((2, 3))


class BatchCentred(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        return (values - values.mean(0)).mean((2, 3))


class BatchNormalised(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        return nn.functional.batch_norm(values, None, None, training=True).relu().mean((2, 3))


class InPlaceResidual(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        values += 1.0
        return values.relu().mean((2, 3))


class UnusedLayer(Unsound):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


class RootParameter(Unsound):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def pooled(self, values: Tensor) -> Tensor:
        return values.mean((2, 3)) * self.scale


class Detached(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        return values.mean((2, 3)).detach()


class Constant(Unsound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 0.0


class NotANumber(Unsound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * float("nan")


class TwoLogits(Unsound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, None]


def network_of(module: nn.Module) -> Network:
    sound = small_network()
    return Network(type(module).__name__, module, sound.features, sound.shape)


@pytest.mark.parametrize(
    "spec",
    [
        SMALL,
        DenseNet(initial_features=8, growth_rate=4, blocks=(2, 2), groups=2),
        GaborFourier(features=64),
    ],
    ids=lambda spec: str(spec.kind),
)
def test_networks_of_the_registry_pass_and_stay_as_they_are(spec: object) -> None:
    assert isinstance(spec, type(SMALL) | DenseNet | GaborFourier)
    network = small_network(spec, seed=1)
    before = {name: array.tobytes() for name, array in trainable_arrays(network.module).items()}
    self_test.check(network)
    after = {name: array.tobytes() for name, array in trainable_arrays(network.module).items()}
    assert before == after
    assert not network.module.training


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (BatchCentred(), "clipped gradients that differ from the plain ones by "),
        (BatchNormalised(), "clipped gradients that differ from the plain ones by "),
        (InPlaceResidual(), "no gradient of every image (RuntimeError)"),
        (UnusedLayer(), "no gradient of every image ("),
        (Detached(), "no gradient of every image ("),
        (Constant(), "a gradient of norm 0.0"),
        (NotANumber(), "a gradient of norm nan"),
        (TwoLogits(), "no gradient of every image (ValueError)"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_an_unsound_network_is_refused_by_name(module: nn.Module, found: str) -> None:
    network = network_of(module)
    for _ in range(2):
        with pytest.raises(SelfTestFailed) as refused:
            self_test.check(network)
        assert f"the self-test of {network.name} found" in refused.value.message
        assert found in refused.value.message


def test_a_parameter_outside_any_layer_is_sound() -> None:
    self_test.check(network_of(RootParameter()))


def test_a_pass_is_remembered_by_the_networks_name() -> None:
    network = small_network(SMALL.model_copy(update={"channels": (2, 4)}))
    self_test.check(network)
    self_test.check(Network(network.name, BatchCentred(), network.features, network.shape))
