import numpy as np
import pytest

from aggregator.aggregation.optimizers import ServerState, Step, blended, momentum, plain
from schemas.aggregation import Aggregation
from schemas.errors import ArraysRefused

ONES = np.ones(4, dtype=np.float32)


def test_with_learning_rate_one_the_model_moves_by_the_delta() -> None:
    after = plain(ServerState(ONES), 0.25 * ONES, Step(Aggregation()))
    assert after.iterate.tolist() == [1.25] * 4
    assert after.velocity is None


def test_the_first_velocity_is_the_delta() -> None:
    rule = Aggregation(algorithm="fedavgm", momentum=0.5, learning_rate=2.0)
    after = momentum(ServerState(ONES), 0.25 * ONES, Step(rule))
    assert after.iterate.tolist() == [1.5] * 4
    assert after.velocity is not None
    assert after.velocity.tolist() == [0.25] * 4


def test_a_blend_is_rounded_once() -> None:
    first = np.full(4, 1e8, dtype=np.float32)
    second = np.full(4, -1e8 + 8, dtype=np.float32)
    assert blended(first, second, 1 / 3, 1 / 3).tolist() == [np.float32(8 / 3)] * 4


def test_a_step_that_leaves_the_finite_values_is_refused() -> None:
    largest = np.full(4, np.finfo(np.float32).max, dtype=np.float32)
    with pytest.raises(ArraysRefused, match="step refused: it gives values that are not finite"):
        blended(largest, largest, 1.0, 1.0)


def test_vectors_of_other_sizes_do_not_blend() -> None:
    with pytest.raises(ValueError, match="do not blend"):
        blended(ONES, ONES[:1], 1.0, 1.0)
