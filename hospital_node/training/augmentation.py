"""Random flips, rotation, scale, shift and intensity, from an explicit generator."""

import torch
from torch import Tensor
from torch.nn import functional

from schemas.plan import Augmentation


def augmented(images: Tensor, recipe: Augmentation, *, generator: torch.Generator) -> Tensor:
    """Return images [n, channels, height, width], resampled bilinearly; borders continue."""
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
    return moved * gain.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)
