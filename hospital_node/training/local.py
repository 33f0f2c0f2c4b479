"""Plain local work: passes, steps or one gradient over the images, without any privacy.

* A delta is a function of the arrays, the examples, the plan, the site and the round (and of the
  number of threads): all draws come from one generator that is seeded with them.
* Nothing is kept from one round to the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from hospital_node.models.dropout import drawing
from hospital_node.models.registry import (
    Network,
    load_arrays,
    trainable_arrays,
    trainable_parameters,
)
from hospital_node.training.augmentation import augmented
from hospital_node.training.corrections import Correction, attach
from hospital_node.training.examples import Examples
from hospital_node.training.objective import Objective, image_losses, losses_of
from schemas import plan
from schemas.errors import CohortRefused
from schemas.wire.arrays import Arrays

Plain: TypeAlias = plan.Epochs | plan.Steps | plan.Gradient

_GRADIENT_IMAGES = 64
"""Images whose gradient is taken at a time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Where and when in a run this is, its loss, and what its algorithm adds to the gradients."""

    round: int
    rounds: int
    site: str = ""
    correction: Correction | None = None
    objective: Objective = image_losses


def trained(
    network: Network, examples: Examples, *, start: Arrays, work: Plain, pace: Pace
) -> dict[str, NDArray[np.float32]]:
    """Train from `start` and return the delta.

    Raises:
        CohortRefused: there is no image to train on.
        ArraysRefused: `start` does not fit the network.
    """
    if not len(examples):
        message = "training refused: the cohort has no train image, at least 1 is needed"
        raise CohortRefused(message, next_step="ingest a larger cohort")
    module = network.module
    load_arrays(module, start)
    if isinstance(work, plan.Gradient):
        return _descent(module, examples, pace.objective)
    generator = torch.Generator().manual_seed(_seed(work.seed, pace))
    optimizer = _optimizer(module, work, pace)
    attach(pace.correction, module, optimizer)
    module.train()
    with drawing(module, generator):
        for batch in islice(_batches(examples, work, generator), steps_of(work, len(examples))):
            optimizer.zero_grad()
            losses = losses_of(pace.objective, module(batch.inputs), batch.labels)
            torch.autograd.backward(losses.mean())
            optimizer.step()
    module.eval()
    return {name: value - start[name] for name, value in trainable_arrays(module).items()}


def steps_of(work: plan.Epochs | plan.Steps, images: int) -> int:
    """Count the optimizer steps of a round."""
    match work:
        case plan.Epochs(epochs=epochs):
            return epochs * _batch_count(images, work.batch_images)
        case plan.Steps(steps=steps):
            return steps


def normalised(
    delta: Arrays, work: plan.Epochs | plan.Steps, *, images: int, effective: float
) -> dict[str, NDArray[np.float32]]:
    """Scale a delta of SGD to the plan's effective steps, whatever this site's own number was.

    Wang et al. 2020, arXiv:2007.07481, equation 6 (FedNova): tau_eff times delta / ||a||_1, where
    ||a||_1 = (tau - rho (1 - rho^tau) / (1 - rho)) / (1 - rho) for tau steps with momentum rho. The
    number of steps follows from the cohort's size and never leaves.
    """
    steps = steps_of(work, images)
    rho = getattr(work.optimizer, "momentum", 0.0)
    length = (steps - rho * (1 - rho**steps) / (1 - rho)) / (1 - rho)
    factor = np.float32(effective / length)
    return {name: factor * value for name, value in delta.items()}


def _descent(
    module: nn.Module, examples: Examples, objective: Objective
) -> dict[str, NDArray[np.float32]]:
    """Return minus the mean gradient over all images, in float64 until the end; nothing is drawn.

    McMahan et al. 2017, arXiv:1602.05629, section 2: the g_k of FedSGD.
    """
    parameters = trainable_parameters(module)
    values = list(parameters.values())
    total = [torch.zeros_like(value, dtype=torch.float64) for value in values]
    for chosen in torch.split(torch.arange(len(examples)), _GRADIENT_IMAGES):
        batch = examples.rows(chosen)
        loss = losses_of(objective, module(batch.inputs), batch.labels).sum()
        for into, part in zip(total, torch.autograd.grad(loss, values), strict=True):
            into.add_(part)
    means = (-(one / len(examples)).float().numpy() for one in total)
    return dict(zip(parameters, means, strict=True))


def _batches(
    examples: Examples, work: plan.Epochs | plan.Steps, generator: torch.Generator
) -> Iterator[Examples]:
    """Go over all images again and again, each time shuffled anew, in nearly equal batches."""
    count = _batch_count(len(examples), work.batch_images)
    while True:
        order = torch.randperm(len(examples), generator=generator)
        for chosen in order.tensor_split(count):
            batch = examples.rows(chosen)
            if work.augmentation is not None:
                batch = augmented(batch, work.augmentation, generator=generator)
            yield batch


def _batch_count(images: int, batch_images: int) -> int:
    return max(1, round(images / batch_images))


def _optimizer(module: nn.Module, work: plan.Epochs | plan.Steps, pace: Pace) -> Optimizer:
    factor = work.factor(pace.round, pace.rounds)
    match work.optimizer:
        case plan.AdamW(learning_rate=rate, weight_decay=decay):
            return AdamW(module.parameters(), rate * factor, weight_decay=decay)
        case plan.Sgd(learning_rate=rate, momentum=momentum, weight_decay=decay):
            return SGD(module.parameters(), rate * factor, momentum, weight_decay=decay)


def _seed(seed: int, pace: Pace) -> int:
    content = sha256(f"{seed}/{pace.round}/{pace.site}".encode()).digest()
    return int.from_bytes(content[:8], "big") >> 1
