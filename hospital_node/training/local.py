"""Plain local work: epochs over shuffled images, without any privacy.

* A delta is a function of the arrays, the examples, the plan, the site and the round (and of the
  number of threads): all draws come from one generator that is seeded with them.
* Nothing is kept from one round to the next.
"""

import math
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from hospital_node.models.dropout import drawing
from hospital_node.models.registry import Network, load_arrays, trainable_arrays
from hospital_node.training.augmentation import augmented
from hospital_node.training.examples import Examples
from hospital_node.training.objective import image_losses
from schemas import plan
from schemas.errors import CohortRefused
from schemas.wire.arrays import Arrays


@dataclass(frozen=True, slots=True)
class Pace:
    """Where and when in a run this is."""

    round: int
    rounds: int
    site: str = ""


def trained(
    network: Network, examples: Examples, *, start: Arrays, work: plan.Epochs, pace: Pace
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
    generator = torch.Generator().manual_seed(_seed(work.seed, pace))
    optimizer = _optimizer(module, work, pace)
    module.train()
    with drawing(module, generator):
        for _ in range(work.epochs):
            _pass(module, examples, work, optimizer=optimizer, generator=generator)
    module.eval()
    return {name: value - start[name] for name, value in trainable_arrays(module).items()}


def _pass(
    module: nn.Module,
    examples: Examples,
    work: plan.Epochs,
    *,
    optimizer: Optimizer,
    generator: torch.Generator,
) -> None:
    """Go over all images once, in nearly equal batches."""
    batches = max(1, round(len(examples) / work.batch_images))
    order = torch.randperm(len(examples), generator=generator)
    for chosen in order.tensor_split(batches):
        batch = examples.rows(chosen)
        inputs = batch.inputs
        if work.augmentation is not None:
            inputs = augmented(inputs, work.augmentation, generator=generator)
        optimizer.zero_grad()
        torch.autograd.backward(image_losses(module(inputs), batch.labels).mean())
        optimizer.step()


def _optimizer(module: nn.Module, work: plan.Epochs, pace: Pace) -> Optimizer:
    factor = cosine_factor(pace) if work.cosine else 1.0
    match work.optimizer:
        case plan.AdamW(learning_rate=rate, weight_decay=decay):
            return AdamW(module.parameters(), rate * factor, weight_decay=decay)
        case plan.Sgd(learning_rate=rate, momentum=momentum, weight_decay=decay):
            return SGD(module.parameters(), rate * factor, momentum, weight_decay=decay)


def cosine_factor(pace: Pace) -> float:
    """Fall from 1 in round 1 towards 0.02 (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (pace.round - 1) / pace.rounds))


def _seed(seed: int, pace: Pace) -> int:
    content = sha256(f"{seed}/{pace.round}/{pace.site}".encode()).digest()
    return int.from_bytes(content[:8], "big") >> 1
