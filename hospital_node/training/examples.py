"""What training sees of a part of a cohort: inputs, labels and whose they are."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hospital_node.models.registry import Network


@dataclass(frozen=True, slots=True)
class Examples:
    """One row per image, after the network's fixed features."""

    inputs: Tensor
    """[n, *shape], float32."""
    labels: Tensor
    """[n], float32, 0 or 1; of a segmentation [n, 1, height, width]."""
    patients: Tensor
    """[n], int64, 0 to P-1."""

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Tensor) -> "Examples":
        """Return some rows, by index or mask."""
        return Examples(self.inputs[chosen], self.labels[chosen], self.patients[chosen])

    @property
    def patient_count(self) -> int:
        """Count the patients; a private number that never leaves."""
        return int(self.patients.max()) + 1 if len(self) else 0


def examples_of(
    network: Network,
    pixels: NDArray[np.float32],
    *,
    labels: NDArray[np.integer],
    patients: NDArray[np.integer],
) -> Examples:
    """Apply the fixed features to preprocessed images [n, height, width]; once for a cohort.

    Labels are classes [n], or masks [n, height, width].
    """
    images = torch.from_numpy(np.array(pixels, dtype=np.float32))[:, None]
    return Examples(
        inputs=network.features(images),
        labels=_target(torch.from_numpy(np.array(labels, dtype=np.float32))),
        patients=torch.from_numpy(np.array(patients, dtype=np.int64)),
    )


def _target(labels: Tensor) -> Tensor:
    return labels if labels.dim() == 1 else labels[:, None]


def image_shares(examples: Examples) -> Tensor:
    """Return each image's share of its patient, so that a patient weighs 1 in all."""
    counts = torch.bincount(examples.patients, minlength=examples.patient_count)
    return 1.0 / counts[examples.patients]
