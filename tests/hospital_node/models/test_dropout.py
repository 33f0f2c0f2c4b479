"""Dropout with a generator of its own."""

import pytest
import torch

from hospital_node.models.dropout import SeededDropout, drawing

ONES = torch.ones(40_000)


def test_training_without_a_generator_is_refused() -> None:
    with pytest.raises(RuntimeError, match="dropout needs a generator to train"):
        SeededDropout(0.3).train()(ONES)


def test_equal_generators_drop_alike_and_the_global_state_is_untouched() -> None:
    layer = SeededDropout(0.3).train()
    before = torch.random.get_rng_state()
    found = []
    for _ in range(2):
        with drawing(layer, torch.Generator().manual_seed(1)):
            found.append(layer(ONES))
    assert torch.equal(found[0], found[1])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_share_is_dropped_and_the_mean_is_kept() -> None:
    layer = SeededDropout(0.3).train()
    with drawing(layer, torch.Generator().manual_seed(2)):
        found = layer(ONES)
    assert abs(float((found == 0).float().mean()) - 0.3) < 0.02
    assert abs(float(found.mean()) - 1.0) < 0.03


@pytest.mark.parametrize("layer", [SeededDropout(0.3).eval(), SeededDropout(0.0).train()])
def test_evaluation_and_rate_0_pass_values_unchanged(layer: SeededDropout) -> None:
    assert torch.equal(layer(ONES), ONES)


def test_the_generator_is_taken_away_again_after_an_error() -> None:
    layer = SeededDropout(0.3)
    with pytest.raises(KeyError), drawing(layer, torch.Generator()):
        raise KeyError
    assert layer.generator is None
