"""MONAI's networks, changed so that every image has a gradient of its own.

* Batch and instance normalisation become group normalisation: no image sees another, no buffer
  keeps what was seen, and every norm is trained (Wu and He 2018, arXiv:1803.08494). MONAI's ResNet
  keeps a batch normalisation in its stem and shortcuts whatever `norm` asks for, so layers are
  replaced rather than asked for.
* Nothing works in place: the full backward hooks that collect per-image gradients return views,
  and torch refuses to change those. MONAI's residual blocks add in place, so they have a forward
  pass of their own here, over the same layers under the same names.
* Nothing is drawn: dropout and stochastic depth are off, since the mechanism draws patients only.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

Blocks: TypeAlias = Mapping[Any, Callable[[Any], nn.Module]]
"""What stands in for a kind of block, by its class."""


class BasicResidual(nn.Module):
    """The layers of MONAI's ResNetBlock; its forward pass without `out += residual`."""

    def __init__(self, block: Any) -> None:  # noqa: ANN401 - MONAI's class is loaded late
        super().__init__()
        self.conv1, self.bn1, self.act = block.conv1, block.bn1, block.act
        self.conv2, self.bn2, self.downsample = block.conv2, block.bn2, block.downsample

    def forward(self, values: Tensor) -> Tensor:
        """Return the block's output (He et al. 2016, figure 2)."""
        found = self.act(self.bn1(self.conv1(values)))
        found = self.bn2(self.conv2(found))
        shortcut = values if self.downsample is None else self.downsample(values)
        added: Tensor = self.act(found + shortcut)
        return added


class PreactivatedResidual(nn.Module):
    """The layers of MONAI's SegResNet ResBlock; its forward pass without `x += identity`."""

    def __init__(self, block: Any) -> None:  # noqa: ANN401 - as above
        super().__init__()
        self.norm1, self.norm2, self.act = block.norm1, block.norm2, block.act
        self.conv1, self.conv2 = block.conv1, block.conv2

    def forward(self, values: Tensor) -> Tensor:
        """Return the block's output (Myronenko 2018, arXiv:1810.11654, section 2.1)."""
        found = self.conv1(self.act(self.norm1(values)))
        added: Tensor = values + self.conv2(self.act(self.norm2(found)))
        return added


def adapted(module: nn.Module, *, groups: int, blocks: Blocks | None = None) -> nn.Module:
    """Replace normalisations and the named blocks, and turn off what works in place or draws.

    A normalisation of a number of channels that `groups` does not divide has as many groups as
    their greatest common divisor.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            make = (blocks or {}).get(type(child))
            if make is not None:
                setattr(parent, name, make(child))
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm | _InstanceNorm):
                norm = nn.GroupNorm(math.gcd(groups, child.num_features), child.num_features)
                setattr(parent, name, norm)
            elif isinstance(child, _DropoutNd):
                setattr(parent, name, nn.Identity())
            elif getattr(child, "inplace", False):
                setattr(child, "inplace", False)  # noqa: B010 - a module's attributes are typed as layers
    return module


def refuse_unfit(module: nn.Module, size: tuple[int, ...], *, shape: tuple[int, ...]) -> None:
    """Refuse a module on torch's meta device that does not give one output of `shape` per image.

    Raises:
        ValueError: the image size does not fit the network's poolings.
    """
    try:
        with torch.no_grad():
            found = tuple(module(torch.zeros((2, 1, *size), device="meta")).shape)
    except (RuntimeError, ValueError) as error:
        message = f"images of {worded(size)} do not fit the network's poolings"
        raise ValueError(message) from error
    if found != (2, *shape):
        message = f"images of {worded(size)} give {found[1:]} values, {shape} are needed"
        raise ValueError(message)


def worded(size: tuple[int, ...]) -> str:
    """Return the size of images for people."""
    return f"{' x '.join(map(str, size))} pixels"
