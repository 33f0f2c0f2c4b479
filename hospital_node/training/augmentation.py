"""Random flips, rotation, scale, shift and intensity, from an explicit generator.

* A mask moves with its image; each of its pixels takes the value of the nearest old one.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from hospital_node.training.examples import Examples
from schemas.plan import Augmentation

_PLANES = 4
"""Dimensions of labels that are masks: images, 1, height, width."""


def augmented(batch: Examples, recipe: Augmentation, *, generator: torch.Generator) -> Examples:
    """Return images [n, channels, height, width], resampled bilinearly; borders continue.

    Their masks [n, 1, height, width] are moved alike, and nothing lies beyond a mask's border.
    """
    images = batch.inputs
    count = len(images)

    def uniform(bound: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * bound

    angle, scale = uniform(recipe.rotation), 1 + uniform(recipe.scale)
    flipped = 1 - 2 * torch.randint(2, (count,), generator=generator)
    mirror = flipped if recipe.flip else torch.ones(count)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    across = torch.stack([mirror * cosine, -sine, uniform(recipe.shift)], 1)
    down = torch.stack([mirror * sine, cosine, uniform(recipe.shift)], 1)
    grid = functional.affine_grid(
        torch.stack([across, down], 1), list(images.shape), align_corners=False
    )
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    gain, offset = 1 + uniform(recipe.intensity), uniform(recipe.intensity)
    changed = moved * gain.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)
    if batch.labels.dim() != _PLANES:
        return replace(batch, inputs=changed)
    masks = functional.grid_sample(batch.labels, grid, mode="nearest", align_corners=False)
    return replace(batch, inputs=changed, labels=masks)
