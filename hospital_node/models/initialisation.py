"""Initial arrays from a seed, without the process's random state.

* Modules are made without memory (torch's meta device), so their own initialisers draw nothing;
  then every parameter is set here, in the order of names, from one generator. Nodes that build side
  by side disturb nobody.
* Weights and biases are uniform within 1 / sqrt(fan in), as torch's own layers begin (LeCun et al.
  1998); slopes of rectifiers begin at 0.25 (He et al. 2015, arXiv:1502.01852).
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from schemas.errors import InvalidRecord


def materialised(make: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    """Make a module on the CPU whose parameters are a function of the seed alone.

    Raises:
        InvalidRecord: a layer whose initial values are not defined here.
    """
    with torch.device("meta"):
        module = make()
    module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, layer in module.named_modules():
            if next(layer.parameters(recurse=False), None) is not None:
                _initialise(layer, name, generator)
    return module


def _initialise(layer: nn.Module, name: str, generator: torch.Generator) -> None:
    match layer:
        case nn.Linear() | nn.Conv2d() | nn.Conv3d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
            bound = 1.0 / math.sqrt(layer.weight[0].numel())
            layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)
        case nn.GroupNorm():
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        case nn.PReLU():
            nn.init.constant_(layer.weight, 0.25)
        case _:
            message = (
                f"network refused: {name} is a {type(layer).__name__}, whose initial values are "
                "not defined; linear, convolution, group normalisation and PReLU layers are allowed"
            )
            raise InvalidRecord(message, next_step="name another network in the plan")
