"""Clipped gradients from one plain backward pass, layer by layer.

* The backward pass computes no gradient of a parameter: it stops at what each layer put out, and
  each layer's share follows from its inputs and the gradients there, once the forward graph is
  done.
* Where a weight is large against its positions, its gradients are never made: norms come from Gram
  matrices (Goodfellow 2015, arXiv:1510.01799; Li et al. 2022, arXiv:2110.05679, section 4), and
  the sum from the gradients scaled by patient (Bu et al. 2023, arXiv:2210.00038).
* Elsewhere all patients' gradients come from one grouped convolution (Rochette et al. 2019,
  arXiv:1912.06015), and scales and shifts from a copy for each image.
* Unknown layers, layers used twice and parameters outside a layer are refused; the self-test
  judges the rest.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional

from hospital_node.training.engines_clipping import (
    Chunk,
    Sums,
    are_usable,
    by_patient,
    factors_of,
    trainable,
)
from hospital_node.training.engines_shares import (
    Share,
    convolution_shares,
    linear_shares,
    made,
)
from hospital_node.training.objective import Objective, losses_of

Watched: TypeAlias = list[Tensor | GradientEdge]
Shares: TypeAlias = Callable[[list[Tensor]], list[Share]]


@dataclass(slots=True)
class _Tape:
    """What one forward pass leaves: where gradients are wanted, and what becomes of them.

    What it holds does not hold it, so that a step's memory is free again when the step ends.
    """

    patients: int
    wanted: list[tuple[Watched, Shares]] = field(default_factory=list)

    def shares(self, loss: Tensor) -> list[Share]:
        """Go backward once."""
        flat = [one for watched, _ in self.wanted for one in watched]
        if not flat:
            return []
        gradients = iter(torch.autograd.grad(loss, flat))  # type: ignore[arg-type] # it takes both at once
        return [
            share
            for watched, shares in self.wanted
            for share in shares([next(gradients) for _ in watched])
        ]


def layered(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    """Return the clipped sum; one forward and one backward pass."""
    with _taped(module, chunk.patients) as tape:
        losses = losses_of(objective, module(chunk.inputs), chunk.labels)
        shares = tape.shares(losses.sum() / chunk.images)
    values = trainable(module)
    order = {id(share.value): share for share in shares}
    if len(order) != len(shares) or len(order) != len(values):
        message = "a parameter is used twice, or not at all"
        raise NotImplementedError(message)
    norms = torch.stack([share.squares for share in shares]).sum(0).sqrt()
    usable = are_usable(norms)
    if not usable.all():
        if not usable.any():
            return [torch.zeros_like(value) for value in values]
        return layered(module, chunk.of_patients(usable), bound, objective)
    factors = factors_of(norms, bound)
    return [order[id(value)].summed(factors.to(value.dtype)) for value in values]


@contextmanager
def _taped(module: nn.Module, patients: int) -> Iterator[_Tape]:
    """Let a forward pass fill a tape; nothing stays behind."""
    tape, values = _Tape(patients), trainable(module)
    known = {id(value) for value in values}
    layers = [
        layer
        for layer in module.modules()
        if any(id(value) in known for value in layer.parameters(recurse=False))
    ]
    forwards = [_forward_of(layer) for layer in layers]
    for layer, forward in zip(layers, forwards, strict=True):
        owned = {
            name: value
            for name, value in layer.named_parameters(recurse=False)
            if value.requires_grad
        }
        layer.forward = partial(forward, layer, owned, tape)
    try:
        for value in values:
            value.requires_grad_(False)  # noqa: FBT003 - torch names it so only in stubs
        yield tape
    finally:
        for value in values:
            value.requires_grad_()
        for layer in layers:
            vars(layer).pop("forward", None)


_Forward: TypeAlias = Callable[[nn.Module, dict[str, nn.Parameter], _Tape, Tensor], Tensor]


def _forward_of(layer: nn.Module) -> _Forward:
    forward = FORWARDS.get(type(layer).forward)
    if forward is None or not {"weight", "bias"}.issuperset(
        name for name, _ in layer.named_parameters(recurse=False)
    ):
        message = f"{type(layer).__name__} has no closed form here"
        raise NotImplementedError(message)
    return forward


def _watching(
    layer: nn.Module, owned: dict[str, nn.Parameter], tape: _Tape, inputs: Tensor
) -> Tensor:
    """Run a linear or convolution layer and want the gradient of what it puts out."""
    outputs: Tensor = type(layer).forward(layer, inputs)
    if not outputs.requires_grad:
        outputs.requires_grad_()
    seen, version = inputs.detach(), inputs._version  # noqa: SLF001 - torch tells it no other way
    patients = tape.patients

    def shares(gradients: list[Tensor]) -> list[Share]:
        if seen._version != version:  # noqa: SLF001
            message = "a layer's input was overwritten"
            raise RuntimeError(message)
        (gradient,) = gradients
        if isinstance(layer, nn.Linear):
            return linear_shares(owned, seen, gradient, patients=patients)
        return convolution_shares(layer, owned, seen, gradient=gradient, patients=patients)

    watched = outputs if outputs.is_leaf else get_gradient_edge(outputs)
    tape.wanted.append(([watched], shares))
    return outputs


def _scaling(
    function: Callable[[nn.Module, Tensor, list[Tensor | None]], Tensor],
    layer: nn.Module,
    owned: dict[str, nn.Parameter],
    tape: _Tape,
    inputs: Tensor,
) -> Tensor:
    """Run a layer with a copy of its few values for each image; want the copies' gradients."""
    copies = {
        name: value.detach().expand(len(inputs), *value.shape).contiguous()
        for name, value in layer.named_parameters(recurse=False)
    }
    leaves = [copies[name].requires_grad_() for name in owned]
    patients = tape.patients

    def shares(gradients: list[Tensor]) -> list[Share]:
        return [
            made(value, by_patient(gradient, patients).sum(1))
            for value, gradient in zip(owned.values(), gradients, strict=True)
        ]

    tape.wanted.append(([*leaves], shares))
    return function(layer, inputs, [copies.get("weight"), copies.get("bias")])


def _group_norm(layer: nn.Module, inputs: Tensor, copies: list[Tensor | None]) -> Tensor:
    """Normalise all images as the groups of one."""
    assert isinstance(layer, nn.GroupNorm)  # noqa: S101 - by FORWARDS
    groups = len(inputs) * layer.num_groups
    weight, bias = (copy if copy is None else copy.flatten() for copy in copies)
    together = inputs.reshape(1, -1, *inputs.shape[2:])
    return functional.group_norm(together, groups, weight, bias, layer.eps).view_as(inputs)


def _instance_norm(layer: nn.Module, inputs: Tensor, copies: list[Tensor | None]) -> Tensor:
    """Normalise all images as the channels of one."""
    assert isinstance(layer, nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d)  # noqa: S101 - by FORWARDS
    if layer.track_running_stats:
        message = "it keeps running statistics"
        raise NotImplementedError(message)
    weight, bias = (copy if copy is None else copy.flatten() for copy in copies)
    together = inputs.reshape(1, -1, *inputs.shape[2:])
    found = functional.instance_norm(together, weight=weight, bias=bias, eps=layer.eps)
    return found.view_as(inputs)


def _layer_norm(layer: nn.Module, inputs: Tensor, copies: list[Tensor | None]) -> Tensor:
    assert isinstance(layer, nn.LayerNorm)  # noqa: S101 - by FORWARDS
    found = functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
    weight, bias = copies
    between = (len(inputs), *(1,) * (inputs.dim() - 1 - len(layer.normalized_shape)))
    if weight is not None:
        found = found * weight.view(*between, *layer.normalized_shape)
    return found if bias is None else found + bias.view(*between, *layer.normalized_shape)


def _prelu(_layer: nn.Module, inputs: Tensor, copies: list[Tensor | None]) -> Tensor:
    """Take a slope for each image, or for each of its channels, as one image's channels."""
    (slopes, _) = copies
    assert slopes is not None  # noqa: S101 - a PReLU has a weight
    together = inputs.reshape(1, slopes.numel(), -1)
    return functional.prelu(together, slopes.flatten()).view_as(inputs)


FORWARDS: dict[object, _Forward] = {
    **{
        kind.forward: _watching
        for kind in (
            nn.Linear,
            nn.Conv1d,
            nn.Conv2d,
            nn.Conv3d,
            nn.ConvTranspose1d,
            nn.ConvTranspose2d,
            nn.ConvTranspose3d,
        )
    },
    nn.GroupNorm.forward: partial(_scaling, _group_norm),
    nn.InstanceNorm2d.forward: partial(_scaling, _instance_norm),
    nn.LayerNorm.forward: partial(_scaling, _layer_norm),
    nn.PReLU.forward: partial(_scaling, _prelu),
}
"""By the forward function itself: a subclass with one of its own is unknown."""
