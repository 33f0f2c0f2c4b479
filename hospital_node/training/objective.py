"""The loss of an image.

* One loss per image, [n], a function of that image alone: a loss that couples images, or
  broadcasts, would void the bound on a patient's gradient.
"""

from torch import Tensor
from torch.nn import functional


def image_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross entropy of each image."""
    if logits.shape != labels.shape or logits.dim() != 1:
        message = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} are not both [n]"
        raise ValueError(message)
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
