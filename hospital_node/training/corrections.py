"""What an algorithm adds to each gradient of local work, just before the optimizer's step.

* Under privacy a gradient is clipped and noised by then, and what is added is made of the arrays
  that came and of earlier releases, so it is post-processing (Dwork and Roth 2014, prop. 2.1).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from hospital_node.models.registry import trainable_parameters
from schemas.wire.arrays import Arrays

Correction: TypeAlias = Callable[[nn.Module], None]
"""Change the gradients of a module in place."""


def proximal(start: Arrays, mu: float) -> Correction:
    """Add mu (w - w_t): the gradient of (mu / 2) ||w - w_t||^2.

    Li et al. 2020, arXiv:1812.06127, equation 2 (FedProx).
    """

    def correct(module: nn.Module) -> None:
        for name, value in trainable_parameters(module).items():
            if value.grad is not None:
                anchor = torch.from_numpy(np.array(start[name])).to(value.device)
                value.grad.add_(value.detach() - anchor, alpha=mu)

    return correct


def steered(offset: Arrays) -> Correction:
    """Add c - c_i, the difference of two control variates.

    Karimireddy et al. 2020, arXiv:1910.06378, algorithm 1, line 10 (SCAFFOLD).
    """

    def correct(module: nn.Module) -> None:
        for name, value in trainable_parameters(module).items():
            if value.grad is not None:
                value.grad.add_(torch.from_numpy(np.array(offset[name])).to(value.device))

    return correct


def attach(correction: Correction | None, module: nn.Module, optimizer: Optimizer) -> None:
    """Let an optimizer correct the gradients of its module before every step."""
    if correction is not None:
        optimizer.register_step_pre_hook(lambda *_: correction(module))
