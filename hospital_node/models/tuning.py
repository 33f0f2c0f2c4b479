"""Which part of a network a plan trains; the rest is frozen, the same at every site.

* The head is the last linear layer; `norm-and-head` also trains the scales and shifts of every
  group normalisation.
* A frozen array takes its value from the plan's file, never changes, and never leaves.
* Where the head alone is trained, the body is a fixed feature map: it is applied to a cohort once.
"""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from hospital_node.models.registry import Network, load_arrays, trainable_layout
from schemas.errors import InvalidRecord
from schemas.names import digest_of
from schemas.plan import Trainable
from schemas.wire.arrays import decoded

_CHUNK = 64


class Head(nn.Module):
    """A network's last layer alone, [batch, features] to [batch], under its name in the network."""

    def __init__(self, layer: nn.Linear, path: str) -> None:
        super().__init__()
        self.path = path
        first, _, rest = path.partition(".")
        self.add_module(first, _nested(layer, rest))

    def forward(self, features: Tensor) -> Tensor:
        """Return one logit per image."""
        return cast("Tensor", self.get_submodule(self.path)(features)).squeeze(1)


@dataclass(frozen=True, slots=True)
class Body:
    """A frozen network up to its head: [n, 1, height, width] to [n, features]."""

    module: nn.Module
    features: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features of some images, each of that image alone."""
        with torch.no_grad():
            found = [
                self.module(part).reshape(len(part), self.features)
                for part in torch.split(images, _CHUNK)
            ]
        return torch.cat(found)


def trained_names(module: nn.Module, trainable: Trainable) -> frozenset[str]:
    """Name the parameters of a whole network that a plan trains.

    Raises:
        InvalidRecord: the network has no linear layer to be its head.
    """
    if trainable == "all":
        return frozenset(name for name, _ in module.named_parameters())
    head, _ = head_of(module)
    layers = [head] + [
        name
        for name, layer in module.named_modules()
        if trainable == "norm-and-head" and isinstance(layer, nn.GroupNorm)
    ]
    return frozenset(
        f"{layer}.{name}"
        for layer in layers
        for name, _ in module.get_submodule(layer).named_parameters(recurse=False)
    )


def head_of(module: nn.Module) -> tuple[str, nn.Linear]:
    """Return the name and the layer of a network's head.

    Raises:
        InvalidRecord: the network has no linear layer.
    """
    linear = [one for one in module.named_modules() if isinstance(one[1], nn.Linear)]
    if not linear:
        message = "network refused: it has no linear layer, which a trained head needs"
        raise InvalidRecord(message, next_step='set trainable = "all", or name another network')
    name, layer = linear[-1]
    return name, cast("nn.Linear", layer)


def tuned(network: Network, trainable: Trainable, *, frozen: bytes) -> Network:
    """Return a network whose frozen part has the values of a file, which was held to its digest.

    Raises:
        ArraysRefused: other names or shapes than the network's frozen part.
        InvalidRecord: the network has no head.
    """
    if trainable == "all":
        return network
    module, names = network.module, trained_names(network.module, trainable)
    for name, value in module.named_parameters():
        value.requires_grad_(name not in names)
    load_arrays(module, decoded(frozen, trainable_layout(module)))
    for name, value in module.named_parameters():
        value.requires_grad_(name in names)
    digest = digest_of(frozen).removeprefix("sha256:")[:16]
    partly = replace(network, name=f"{network.name}-{trainable}-{digest}")
    return _on_features(partly) if trainable == "head" else partly


def _on_features(network: Network) -> Network:
    """Split a network into its body, a fixed feature map, and its head."""
    path, layer = head_of(network.module)
    body = network.module
    body.set_submodule(path, nn.Identity())
    return Network(
        name=network.name,
        module=Head(layer, path).eval(),
        features=Body(body.eval(), layer.in_features),
        shape=(layer.in_features,),
    )


def _nested(layer: nn.Module, path: str) -> nn.Module:
    """Put a layer into empty modules, so that it has this name in the outermost."""
    for name in reversed(path.split(".") if path else ()):
        outer = nn.Module()
        outer.add_module(name, layer)
        layer = outer
    return layer
