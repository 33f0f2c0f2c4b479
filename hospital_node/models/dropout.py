"""Dropout that draws from a generator of its own.

* Nodes may train side by side in one process: torch's global random state belongs to none of them.
* Outside `drawing` a module that trains refuses to run, so no draw is ever unseeded.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class SeededDropout(nn.Module):
    """Zero each value with probability `rate` and scale the rest (Srivastava et al. 2014)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Drop in training, pass in evaluation."""
        if not self.training or self.rate == 0.0:
            return values
        if self.generator is None:
            message = "dropout needs a generator to train"
            raise RuntimeError(message)
        kept = torch.rand(values.shape, generator=self.generator) >= self.rate
        return values * kept / (1.0 - self.rate)


@contextmanager
def drawing(module: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Let every dropout inside a module draw from this generator."""
    layers = [layer for layer in module.modules() if isinstance(layer, SeededDropout)]
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            layer.generator = None
