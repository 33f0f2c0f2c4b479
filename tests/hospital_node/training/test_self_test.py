"""The self-test passes sound networks and refuses, by name, those that go silently wrong."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from monai.losses import DiceLoss
from monai.networks import nets
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.training import self_test
from hospital_node.training.engines import ENGINES
from hospital_node.training.engines_clipping import Chunk, Engine, Sums, clipped
from hospital_node.training.engines_layers import layered
from hospital_node.training.examples import Examples
from hospital_node.training.objective import Objective, image_losses, pixel_losses
from hospital_node.training.patient_level import clipped_sum
from schemas.errors import SelfTestFailed
from schemas.network import DenseNet, GaborFourier
from tests.hospital_node.training.clinics import SMALL, small_network
from tests.hospital_node.training.unsound import (
    BatchCentred,
    BatchNormalised,
    Constant,
    Detached,
    Drawing,
    InPlaceResidual,
    LiveBatchNorm,
    NotANumber,
    RootParameter,
    TwoLogits,
    UnusedLayer,
)


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
        (BatchCentred(), "that an image's loss moves by "),
        (BatchNormalised(), "that an image's loss moves by "),
        (LiveBatchNorm(), "that training changes the buffer normalised.running_mean"),
        (Drawing(), "losses that differ from one pass to the next"),
        (UnusedLayer(), "no gradient of every patient (RuntimeError)"),
        (Detached(), "no gradient of every patient (RuntimeError)"),
        (Constant(), "a gradient of norm 0.0"),
        (NotANumber(), "losses that are not finite"),
        (TwoLogits(), "no loss of every image (ValueError: logits (16, 1)"),
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


def test_where_no_engine_is_sound_all_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(ENGINES):
        monkeypatch.setitem(ENGINES, name, unclipped)
    with pytest.raises(SelfTestFailed) as refused:
        self_test.check(replace(small_network(), name="hopeless"))
    for name in ENGINES:
        assert f"{name}: clipped gradients that differ" in refused.value.message


def weighted_mean(logits: Tensor, labels: Tensor) -> Tensor:
    weights = 1.0 + 19.0 * labels
    losses = image_losses(logits, labels) * weights
    return losses * len(labels) / weights.sum()


def mean(logits: Tensor, labels: Tensor) -> Tensor:
    return image_losses(logits, labels).mean()


def one_column(logits: Tensor, labels: Tensor) -> Tensor:
    return image_losses(logits, labels)[:, None]


def dice_over_the_batch(logits: Tensor, labels: Tensor) -> Tensor:
    losses: Tensor = DiceLoss(sigmoid=True, batch=True)(logits, labels)
    return losses


def dice_spread_over_images(logits: Tensor, labels: Tensor) -> Tensor:
    return dice_over_the_batch(logits, labels).expand(len(labels))


def dice_of_each_image(logits: Tensor, labels: Tensor) -> Tensor:
    losses: Tensor = DiceLoss(sigmoid=True, reduction="none")(logits, labels)
    return losses.flatten(1).mean(1)


@pytest.mark.parametrize(
    ("objective", "found"),
    [
        (weighted_mean, "that an image's loss moves by "),
        (mean, "losses () of 16 images are not [16]"),
        (one_column, "losses (16, 1) of 16 images are not [16]"),
    ],
    ids=["weighted mean", "mean", "column"],
)
def test_a_loss_that_is_not_each_images_own_is_refused(objective: Objective, found: str) -> None:
    with pytest.raises(SelfTestFailed) as refused:
        self_test.check(small_network(), objective)
    assert found in refused.value.message


@pytest.mark.parametrize(
    ("objective", "found"),
    [
        (dice_over_the_batch, "losses () of 16 images are not [16]"),
        (dice_spread_over_images, "that an image's loss moves by "),
        (dice_of_each_image, None),
        (pixel_losses, None),
    ],
)
def test_a_segmentation_loss_is_held_to_each_image(objective: Objective, found: str | None) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PReLU(), nn.Conv2d(4, 1, 1))
    network = Network("mask", body, small_network().features, (1, 8, 8))
    if found is None:
        self_test.check(network, objective)
        return
    with pytest.raises(SelfTestFailed) as refused:
        self_test.check(network, objective)
    assert found in refused.value.message


def aliased(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    """Map over patients with a value for each name, where DynUNet has several for one layer."""
    named = dict(module.named_parameters(remove_duplicate=False))
    values = {name: value.detach() for name, value in named.items()}
    last = {id(value): name for name, value in named.items()}
    chosen = [last[id(value)] for value in module.parameters()]

    def loss(values: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        outputs = functional_call(module, values, (inputs,), tie_weights=False)
        return objective(outputs, labels).mean()

    found = vmap(grad(loss), in_dims=(None, 0, 0))(values, *chunk.by_patient())
    return clipped([found[name] for name in chosen], bound)


def test_dynunet_is_refused_where_vmap_goes_wrong_and_hooks_fail_and_still_trains(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module = nets.DynUNet(2, 1, 1, (3, 3, 3), (1, 2, 2), (2, 2), filters=(4, 4, 8))
    network = Network("dynunet", module, small_network().features, (1, 16, 16))
    monkeypatch.setitem(ENGINES, "aliased", aliased)
    order = {"aliased": 1.0, "hooks": 2.0, "layers": 3.0}
    monkeypatch.setattr(self_test, "timed", lambda *_, **__: (order, {}))
    with caplog.at_level("INFO"):
        choice = self_test.check(network, pixel_losses)
    assert choice.engine == "layers"
    assert "clipped gradients that differ" in choice.refused["aliased"]
    assert choice.refused["hooks"] == "no gradient of every patient (RuntimeError)"
    assert "engine layers" in caplog.text
    assert "aliased: clipped gradients that differ" in caplog.text


def test_an_in_place_residual_is_trained_by_an_engine_that_stands_it() -> None:
    network = network_of(InPlaceResidual())
    reason = self_test.engine_fault(ENGINES["hooks"], network, image_losses)
    assert reason == "no gradient of every patient (RuntimeError)"
    assert self_test.check(network).engine != "hooks"


def off_by_one(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    return [1.01 * one for one in layered(module, chunk, bound, objective)]


def unclipped(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    return layered(module, chunk, 1e9 * bound, objective)


def by_image(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    return layered(module, Chunk(chunk.inputs, chunk.labels, len(chunk.labels)), bound, objective)


@pytest.mark.parametrize("engine", [off_by_one, unclipped, by_image])
def test_a_wrong_engine_is_dropped_with_the_reason(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = replace(small_network(), name=f"wrong by {engine}")
    monkeypatch.setitem(ENGINES, "wrong", engine)
    monkeypatch.setattr(self_test, "timed", lambda *_, **__: ({"wrong": 1.0, "layers": 2.0}, {}))
    choice = self_test.check(network)
    assert choice.engine == "layers"
    assert "clipped gradients that differ from the plain ones by" in choice.refused["wrong"]


@pytest.mark.parametrize("images", [1, 2, 3, 10])
def test_an_engine_that_bounds_all_but_one_kind_of_patient_is_dropped(
    images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an engine gives the right sum for all, and a wrong one once a patient is away."""
    torch.manual_seed(0)
    network = replace(small_network(), name=f"wrong for {images}")

    def wrong(module: nn.Module, examples: Examples, **constants: Any) -> list[Tensor]:
        sums = clipped_sum(module, examples, **constants)
        away = images not in torch.bincount(examples.patients).tolist()
        return [3.0 * one for one in sums] if away else sums

    monkeypatch.setattr(self_test, "clipped_sum", wrong)
    reason = self_test.engine_fault(ENGINES["layers"], network, image_losses)
    assert reason is not None
    assert reason.startswith(f"that a patient of {images} images moves the sum by ")


def test_a_parameter_outside_any_layer_is_sound() -> None:
    self_test.check(network_of(RootParameter()))


def test_a_pass_is_remembered_by_the_networks_name() -> None:
    network = small_network(SMALL.model_copy(update={"channels": (2, 4)}))
    self_test.check(network)
    self_test.check(Network(network.name, BatchCentred(), network.features, network.shape))
