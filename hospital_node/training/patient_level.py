"""Patient-level DP-SGD: clipped sums over whole patients, and the step that releases them.

* Abadi et al. 2016 (arXiv:1607.00133), algorithm 1, with patients for examples.
* A patient's image gradients are averaged, clipped once at C over all parameters, and summed over
  patients; chunks of patients add up in float64.
* Noise is float64, of deviation noise_multiplier * C, from the system's generator; never seeded.
* The divisor is the plan's expected batch, never the number of patients drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from hospital_node.privacy.randomness import on_grid, secure_normal
from hospital_node.training.engines_clipping import Chunk, Engine, Sums, trainable
from hospital_node.training.examples import Examples
from hospital_node.training.objective import Objective, image_losses

Noise: TypeAlias = Callable[[tuple[int, ...], float], NDArray[np.float64]]

_CHUNK_IMAGES = 64
_CHUNK_VALUES = 2**27
"""At most this many gradient values are held at a time (half a gigabyte)."""


@dataclass(frozen=True, slots=True)
class Release:
    """The constants of a step, all from the plan."""

    bound: float
    """C."""
    noise_multiplier: float
    divisor: float
    """Expected patients in a batch."""


def clipped_sum(
    module: nn.Module,
    examples: Examples,
    *,
    bound: float,
    engine: Engine,
    objective: Objective = image_losses,
) -> Sums:
    """Clip every patient among the examples and add them up, in float64."""
    values = trainable(module)
    sums = [torch.zeros_like(value, dtype=torch.float64) for value in values]
    size = sum(value.numel() for value in values)
    most = max(1, min(_CHUNK_IMAGES, _CHUNK_VALUES // max(1, size)))
    for rows, patients in chunks(examples.patients, most_images=most):
        inputs, labels = (
            one[rows].to(values[0].device) for one in (examples.inputs, examples.labels)
        )
        for total, part in zip(
            sums, engine(module, Chunk(inputs, labels, patients), bound, objective), strict=True
        ):
            total.add_(part)
    return sums


def release(
    sums: Sequence[Tensor],
    module: nn.Module,
    optimizer: Optimizer,
    *,
    constants: Release,
    noise: Noise = secure_normal,
) -> None:
    """Noise, scale and apply a clipped sum; sum and noise meet on the noise's grid."""
    deviation = constants.noise_multiplier * constants.bound
    for value, total in zip(trainable(module), sums, strict=True):
        drawn = torch.from_numpy(noise(tuple(value.shape), deviation)).to(value.device)
        value.grad = drawn.add_(on_grid(total, deviation)).div_(constants.divisor).to(value.dtype)
    optimizer.step()
    optimizer.zero_grad()


def chunks(patients: Tensor, *, most_images: int) -> Iterator[tuple[Tensor, int]]:
    """Split images into whole patients of equally many images: their rows, and how many patients.

    A chunk has at most `most_images`, or one patient.
    """
    order = torch.argsort(patients, stable=True)
    _, counts = torch.unique_consecutive(patients[order], return_counts=True)
    starts = counts.cumsum(0) - counts
    for images in counts.unique().tolist():
        alike = starts[counts == images]
        for some in alike.split(max(1, most_images // images)):
            yield order[(some[:, None] + torch.arange(images)).flatten()], len(some)
