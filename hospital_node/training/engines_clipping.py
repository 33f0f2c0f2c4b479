"""What every engine of clipped gradients is given, gives back, and keeps.

* A chunk holds whole patients of equally many images, one patient after another.
* A patient's gradient is the mean over the patient's images, clipped once over all parameters.
* A gradient that is not finite, or so long that float32 could not scale it down to C, contributes
  nothing; no input and no arrays can raise a patient's contribution over C.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from hospital_node.training.objective import Objective

SLACK = 1e-5
"""Relative room below C for the rounding of float32 norms and sums."""
LARGEST_NORM = 1e18
"""Over it a factor C / norm may be a subnormal float32, whose rounding no room covers."""
_NORM_BLOCK = 2**17
"""Values that float32 adds up to within a tenth of that room."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some patients' images; a row of `patients` * `images` rows is an image."""

    inputs: Tensor
    labels: Tensor
    patients: int

    @property
    def images(self) -> int:
        """Count the images of one patient."""
        return len(self.labels) // self.patients

    def of_patients(self, chosen: Tensor) -> "Chunk":
        """Return some patients, by a mask [patients]."""
        rows = chosen.repeat_interleave(self.images)
        return Chunk(self.inputs[rows], self.labels[rows], int(chosen.sum()))

    def by_patient(self) -> tuple[Tensor, Tensor]:
        """Return inputs and labels as [patients, images, ...]."""
        return by_patient(self.inputs, self.patients), by_patient(self.labels, self.patients)


Sums: TypeAlias = list[Tensor]
"""The sum over patients of clipped gradients, one array for each trainable parameter."""

Engine: TypeAlias = Callable[[nn.Module, Chunk, float, Objective], Sums]
"""A network's module, patients, the bound C and the loss to the clipped sum."""


def by_patient(values: Tensor, patients: int) -> Tensor:
    """Split [patients * images, ...] into [patients, images, ...]."""
    return values.reshape(patients, -1, *values.shape[1:])


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that training changes, in the order of `Sums`."""
    return [value for value in module.parameters() if value.requires_grad]


def norms_of(rows: Tensor) -> Tensor:
    """Return the L2 norm of each row in float64; long rows are summed in blocks.

    One float32 sum over a million values falls short by more than the room that is left below C.
    """
    if rows.shape[1] <= _NORM_BLOCK:
        short: Tensor = torch.linalg.vector_norm(rows, dim=1).double()
        return short
    blocks = [
        torch.linalg.vector_norm(block, dim=1).double()
        for block in torch.split(rows, _NORM_BLOCK, dim=1)
    ]
    found: Tensor = torch.stack(blocks, 1).norm(dim=1)
    return found


def factors_of(norms: Tensor, bound: float) -> Tensor:
    """Return what each patient's gradient is multiplied by: 0 where the norm is not usable."""
    factors = (bound * (1.0 - SLACK) / norms).clamp(max=1.0)
    return torch.where(are_usable(norms), factors, 0.0)


def are_usable(norms: Tensor) -> Tensor:
    """Say which norms are numbers that float32 can scale down."""
    return norms <= LARGEST_NORM


def clipped(totals: Sequence[Tensor], bound: float) -> Sums:
    """Clip and add up patients' gradients [patients, ...], given for each parameter."""
    rows = [total.flatten(1) for total in totals]
    norms = torch.stack([norms_of(row) for row in rows], 1).norm(dim=1)
    usable = are_usable(norms)
    if not usable.all():
        rows = [torch.where(usable[:, None], row, 0.0) for row in rows]
    factors = factors_of(norms, bound)
    return [
        (factors.to(row.dtype) @ row).view(total.shape[1:])
        for row, total in zip(rows, totals, strict=True)
    ]
