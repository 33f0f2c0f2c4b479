"""The loss of an image.

* One loss per image, [n], a function of that image alone: a loss that couples images, or
  broadcasts, would void the bound on a patient's gradient.
* The shape is held here at every call; the independence by the self-test.
"""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch.nn import functional

from schemas.plan import TrainingPlan

Objective: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A network's outputs [n, ...] and labels [n, ...] to one loss per image, [n]."""


def image_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross entropy of each image."""
    if logits.shape != labels.shape or logits.dim() != 1:
        message = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} are not both [n]"
        raise ValueError(message)
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def losses_of(objective: Objective, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return an objective's losses, held to one for each image; a mean or a sum is none."""
    losses = objective(outputs, labels)
    if losses.shape != labels.shape[:1]:
        message = f"losses {tuple(losses.shape)} of {len(labels)} images are not [{len(labels)}]"
        raise ValueError(message)
    return losses


def pixel_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross entropy of each image, a mean over its own pixels."""
    if logits.shape != labels.shape:
        message = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} differ"
        raise ValueError(message)
    each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return each.flatten(1).mean(1)


def objective_of(plan: TrainingPlan) -> Objective:
    """Return the loss of a plan's task."""
    return pixel_losses if plan.metric == "dice" else image_losses
