"""Augmentation: nothing when nothing is asked, and what each field does."""

import torch

from hospital_node.training.augmentation import augmented
from hospital_node.training.examples import Examples
from schemas.plan import Augmentation

STILL = Augmentation(flip=False, rotation=0.0, scale=0.0, shift=0.0, intensity=0.0)
IMAGES = torch.randn((32, 1, 12, 16), generator=torch.Generator().manual_seed(0))


def apply(recipe: Augmentation, seed: int = 0) -> torch.Tensor:
    return moved(IMAGES, recipe, seed)


def moved(images: torch.Tensor, recipe: Augmentation, seed: int = 0) -> torch.Tensor:
    whose = torch.arange(len(images))
    batch = Examples(images, whose.float(), whose)
    return augmented(batch, recipe, generator=torch.Generator().manual_seed(seed)).inputs


def test_a_recipe_of_nothing_changes_nothing() -> None:
    torch.testing.assert_close(apply(STILL), IMAGES)


def test_flips_mirror_about_half_of_the_images_from_left_to_right() -> None:
    found = apply(STILL.model_copy(update={"flip": True}))
    same = torch.isclose(found, IMAGES, atol=1e-4).flatten(1).all(1)
    mirrored = torch.isclose(found, IMAGES.flip(3), atol=1e-4).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 6 <= int(mirrored.sum()) <= 26


def test_intensity_is_one_gain_and_one_offset_for_an_image() -> None:
    found = apply(STILL.model_copy(update={"intensity": 0.15})).flatten(1)
    flat = IMAGES.flatten(1)
    gain = found.std(1) / flat.std(1)
    offset = found.mean(1) - gain * flat.mean(1)
    torch.testing.assert_close(found, flat * gain[:, None] + offset[:, None], rtol=1e-4, atol=1e-4)
    assert float((gain - 1).abs().max()) <= 0.15 + 1e-4
    assert float(offset.abs().max()) <= 0.15 + 1e-4


def test_every_image_is_drawn_anew_and_a_generator_repeats() -> None:
    recipe = Augmentation()
    assert torch.equal(apply(recipe), apply(recipe))
    assert not torch.allclose(apply(recipe), apply(recipe, seed=1))
    twins = moved(IMAGES[:1].expand(2, -1, -1, -1), recipe)
    assert not torch.allclose(twins[0], twins[1])


def test_a_mask_moves_with_its_image() -> None:
    marks = torch.zeros((32, 1, 48, 48))
    marks[:, :, 12:20, 26:38] = 1.0
    whose = torch.arange(32)
    recipe = Augmentation(intensity=0.0)
    batch = augmented(
        Examples(marks, marks, whose), recipe, generator=torch.Generator().manual_seed(0)
    )
    assert set(batch.labels.flatten().tolist()) == {0.0, 1.0}
    # The image is its own mask, so both agree but where bilinear pixels are between the two.
    assert batch.labels[batch.inputs > 0.99].all()
    assert not batch.labels[batch.inputs < 0.01].any()
    assert not torch.equal(batch.labels, marks)
