"""Closed forms layer by layer: every layer there is against plain autograd, and what is refused."""

import gc
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hospital_node.training.engines import one_by_one
from hospital_node.training.engines_clipping import Chunk, trainable
from hospital_node.training.engines_layers import FORWARDS, layered

PATIENTS = 3


def mean_square(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs.flatten(1).mean(1) - labels).square()


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 5), (6,)),
    "linear over tokens": (lambda: nn.Linear(6, 5), (40, 6)),
    "linear whose weight is large": (lambda: nn.Linear(60, 50, bias=False), (60,)),
    "convolution": (lambda: nn.Conv2d(2, 4, 3, padding=1), (2, 9, 8)),
    "strided and dilated": (lambda: nn.Conv2d(2, 4, 3, 2, padding=2, dilation=2), (2, 9, 8)),
    "few positions": (lambda: nn.Conv2d(8, 16, 3, padding=1), (8, 2, 2)),
    "few positions, strided": (lambda: nn.Conv2d(8, 16, (3, 2), 2, padding=1), (8, 5, 4)),
    "pointwise": (lambda: nn.Conv2d(2, 4, 1), (2, 9, 8)),
    "pointwise, few positions": (lambda: nn.Conv2d(20, 30, 1), (20, 1, 2)),
    "pointwise, strided": (lambda: nn.Conv2d(4, 4, 1, 2), (4, 9, 8)),
    "by channel": (lambda: nn.Conv2d(4, 8, 3, groups=4), (4, 9, 8)),
    "one-dimensional": (lambda: nn.Conv1d(2, 4, 3), (2, 9)),
    "three-dimensional": (lambda: nn.Conv3d(2, 4, 3, padding=1), (2, 5, 4, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), (4, 9, 8)),
    "transposed, few positions": (lambda: nn.ConvTranspose2d(8, 9, 2, 2), (8, 2, 2)),
    "transposed, three-dimensional": (lambda: nn.ConvTranspose3d(4, 2, 2, 2), (4, 3, 3, 3)),
    "group normalisation": (lambda: nn.GroupNorm(2, 4), (4, 5, 6)),
    "instance normalisation": (lambda: nn.InstanceNorm2d(4, affine=True), (4, 5, 6)),
    "layer normalisation": (lambda: nn.LayerNorm((5, 6)), (4, 5, 6)),
    "one slope": (nn.PReLU, (4, 5, 6)),
    "a slope for each channel": (lambda: nn.PReLU(4), (4, 5, 6)),
}


def chunk_of(shape: tuple[int, ...], images: int) -> Chunk:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn((PATIENTS * images, *shape), generator=generator).double()
    labels = torch.randn(PATIENTS * images, generator=generator).double()
    return Chunk(inputs, labels, PATIENTS)


def judged(module: nn.Module, chunk: Chunk, bound: float = 0.1) -> None:
    found = layered(module, chunk, bound, mean_square)
    expected = one_by_one(module, chunk, bound, mean_square)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_layer_gives_what_plain_autograd_gives(name: str, images: int) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    layer = make().double()
    for value in layer.parameters():
        nn.init.normal_(value)
    for bound in (0.1, 1e3):
        judged(layer, chunk_of(shape, images), bound)
    judged(nn.Sequential(nn.PReLU().double(), layer), chunk_of(shape, images))


def test_every_layer_that_has_a_closed_form_is_in_this_table() -> None:
    held = {type(make()).forward for make, _ in LAYERS.values()}
    assert set(FORWARDS) - held == {nn.ConvTranspose1d.forward}


def test_a_frozen_body_keeps_no_graph_and_its_parameters() -> None:
    body, head = nn.Linear(4, 3).double(), nn.Linear(3, 1).double()
    body.requires_grad_(requires_grad=False)
    network, chunk = nn.Sequential(body, nn.Tanh(), head), chunk_of((4,), 2)
    assert len(layered(network, chunk, 0.1, mean_square)) == 2
    judged(network, chunk)
    assert trainable(network) == [head.weight, head.bias]


def test_cancelling_terms_never_lift_a_patient_over_the_bound() -> None:
    layer = nn.Linear(200, 100, bias=False)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((PATIENTS, 1, 200), generator=generator).repeat(1, 2, 1)
    inputs[:, 1] += 1e-6 * torch.randn((PATIENTS, 200), generator=generator)
    inputs, signs = inputs.flatten(0, 1), torch.tensor([1.0, -1.0]).repeat(PATIENTS)

    def opposed(outputs: Tensor, signs: Tensor) -> Tensor:
        return 1e5 * outputs.sum(1) * signs

    whole = layered(layer, Chunk(inputs, signs, PATIENTS), 1.0, opposed)[0].double()
    rest = layered(layer, Chunk(inputs[2:], signs[2:], PATIENTS - 1), 1.0, opposed)[0].double()
    assert 0.0 < float((whole - rest).norm()) <= 1.0 + 1e-5


class Root(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.scale


class Own(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * 2.0


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(self.layer(inputs).tanh())
        return outputs


class Unused(Twice):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * 2.0


class Overwritten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs) * 2.0
        outputs: Tensor = self.second(hidden)
        hidden *= 0.0
        return outputs


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Root(), "Root has no closed form"),
        (Own(4, 4), "Own has no closed form"),
        (Twice(), "used twice, or not at all"),
        (Unused(), "used twice, or not at all"),
        (Overwritten(), "input was overwritten"),
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.BatchNorm2d(1)), "BatchNorm2d has no closed"),
        (
            nn.Sequential(
                nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")
            ),
            "pads in a way",
        ),
        (
            nn.Sequential(
                nn.Unflatten(1, (1, 2, 2)),
                nn.InstanceNorm2d(1, affine=True, track_running_stats=True),
            ),
            "running statistics",
        ),
    ],
    ids=["root", "own", "twice", "unused", "overwritten", "batch", "padding", "running"],
)
def test_what_has_no_closed_form_is_refused_and_left_as_it_was(
    module: nn.Module, reason: str
) -> None:
    with pytest.raises(RuntimeError, match=reason):
        layered(module.double(), chunk_of((4,), 1), 0.1, mean_square)
    assert all(value.requires_grad for value in module.parameters())
    assert all("forward" not in vars(layer) for layer in module.modules())


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_step_leaves_no_array_to_the_garbage_collector(name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    module, chunk = make().double(), chunk_of(shape, 2)
    layered(module, chunk, 0.1, mean_square)
    gc.collect()
    gc.disable()
    try:
        before = tensors()
        for _ in range(3):
            layered(module, chunk, 0.1, mean_square)
        assert tensors() == before
    finally:
        gc.enable()


def tensors() -> int:
    return sum(issubclass(type(one), Tensor) for one in gc.get_objects())
