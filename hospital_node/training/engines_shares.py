"""A layer's share of every patient's gradient: its norm, and the sum once factors are known.

* Shapes: inputs and gradients [patients * images, ...]; a weight's gradient of one patient is the
  product of [rows, positions] and [columns, positions], over all the patient's images.
* Norms of gradients that are made are norms of the very numbers that are added up.
* Norms from Gram matrices are float64. Where a patient's terms cancel more than 16-fold the norm is
  raised to a sixteenth of their sum, so that what rounding leaves of them stays in the slack.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from hospital_node.training.engines_clipping import by_patient, norms_of

_CANCELLING = 16.0
_LARGEST_FACTOR = 1e15
"""A longer row or column could lift what a subnormal float32 beside it loses over the room."""
_FEW_POSITIONS = 32
"""Up to here patches cost less than a grouped convolution's start."""

Convolution: TypeAlias = (
    nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
)


@dataclass(frozen=True, slots=True)
class Share:
    """One parameter of one layer."""

    value: nn.Parameter
    squares: Tensor
    """Each patient's squared norm, [patients], float64."""
    summed: Callable[[Tensor], Tensor]
    """Factors [patients] to the sum of scaled gradients, of the parameter's shape."""


def made(value: nn.Parameter, gradients: Tensor) -> Share:
    """Take gradients that are there, [patients, ...]."""
    rows = gradients.flatten(1)
    squares = norms_of(rows).square()
    return Share(value, squares, lambda factors: (factors @ rows).view_as(value))


def unmade(value: nn.Parameter, rows: Tensor, columns: Tensor) -> Share:
    """Take factors [patients, r, p] and [patients, c, p] of gradients that are never made."""
    left, right = (torch.bmm(one.transpose(1, 2), one) for one in (rows.double(), columns.double()))
    squares = (left * right).sum((1, 2))
    lengths = [one.diagonal(0, 1, 2).clamp(min=0.0).sqrt() for one in (left, right)]
    terms = (lengths[0] * lengths[1]).sum(1)
    squares = torch.maximum(squares, (terms / _CANCELLING).square())
    longest = torch.maximum(*(one.amax(1) for one in lengths))
    squares = torch.where(longest <= _LARGEST_FACTOR, squares, math.inf)

    def summed(factors: Tensor) -> Tensor:
        scaled = (rows * factors[:, None, None]).transpose(0, 1).flatten(1)
        return (scaled @ columns.transpose(1, 2).flatten(0, 1)).view_as(value)

    return Share(value, squares, summed)


def product(value: nn.Parameter, rows: Tensor, columns: Tensor) -> Share:
    """Take factors as in `unmade`, and make the gradients where that is cheaper."""
    positions = rows.shape[2]
    if positions**2 * (rows.shape[1] + columns.shape[1]) < value.numel():
        return unmade(value, rows, columns)
    return made(value, torch.bmm(rows, columns.transpose(1, 2)))


def linear_shares(
    owned: Mapping[str, nn.Parameter], inputs: Tensor, gradient: Tensor, *, patients: int
) -> list[Share]:
    """Return the shares of a linear layer, whose last dimension is the features."""
    columns, rows = (
        one.reshape(patients, -1, one.shape[-1]).transpose(1, 2) for one in (inputs, gradient)
    )
    shares = []
    if "weight" in owned:
        shares.append(product(owned["weight"], rows, columns))
    if "bias" in owned:
        shares.append(made(owned["bias"], rows.sum(2)))
    return shares


def convolution_shares(
    layer: nn.Module,
    owned: Mapping[str, nn.Parameter],
    inputs: Tensor,
    *,
    gradient: Tensor,
    patients: int,
) -> list[Share]:
    """Return the shares of a convolution or a transposed one."""
    assert isinstance(layer, Convolution)  # noqa: S101 - by the engine's table
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        message = f"{type(layer).__name__} pads in a way that has no closed form here"
        raise NotImplementedError(message)
    shares = []
    if "weight" in owned:
        wide, narrow = (gradient, inputs) if layer.transposed else (inputs, gradient)
        shares.append(
            product(
                owned["weight"],
                _positions(narrow, patients),
                _positions(_patches(layer, wide), patients),
            )
            if _multiplies(layer, narrow)
            else made(owned["weight"], _grouped(layer, inputs, gradient, patients))
        )
    if "bias" in owned:
        sums = by_patient(gradient.flatten(2).sum(2), patients)
        shares.append(made(owned["bias"], sums.sum(1)))
    return shares


def _multiplies(layer: Convolution, narrow: Tensor) -> bool:
    """Tell whether a weight's gradient is had more cheaply as a product of patches."""
    if layer.groups != 1:
        return False
    if _is_pointwise(layer):
        return True
    return narrow.dim() == 4 and math.prod(narrow.shape[2:]) <= _FEW_POSITIONS  # noqa: PLR2004 - images, not volumes


def _is_pointwise(layer: Convolution) -> bool:
    return all(size == 1 for size in (*layer.kernel_size, *layer.stride)) and not any(layer.padding)


def _patches(layer: Convolution, wide: Tensor) -> Tensor:
    """Return [images, channels * kernel, positions]."""
    if _is_pointwise(layer):
        return wide
    sizes = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return nn.functional.unfold(wide, *sizes)  # type: ignore[arg-type] # padding is no string here


def _positions(values: Tensor, patients: int) -> Tensor:
    """Bring [patients * images, channels, ...] to [patients, channels, images * positions]."""
    return by_patient(values.flatten(2), patients).transpose(1, 2).flatten(2)


def _grouped(layer: Convolution, inputs: Tensor, gradient: Tensor, patients: int) -> Tensor:
    """Return [patients, *weight] from one convolution that has each patient for a group."""
    together = [
        by_patient(one, patients).transpose(0, 1).flatten(1, 2) for one in (gradient, inputs)
    ]
    weight = layer.weight
    # Its values do not enter its own gradient, only its shape does.
    shape = weight.new_empty((patients * weight.shape[0], *weight.shape[1:]))
    gradients: Tensor = torch.ops.aten.convolution_backward(
        *together,
        shape,
        None,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.transposed,
        layer.output_padding,
        patients * layer.groups,
        [False, True, False],
    )[1]
    return gradients.view(patients, *weight.shape)
