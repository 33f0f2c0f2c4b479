"""The evaluation histogram: a slow twin, the patient's bound, the grid and the noise."""

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.training.evaluation import histogram, scores
from hospital_node.training.examples import Examples
from tests.hospital_node.training.clinics import examples_for, linear_network, small_network

UNIT = 2**20
ROWS = st.lists(
    st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 4)), min_size=1, max_size=40
)


def examples_of(rows: Sequence[tuple[float, bool, int]]) -> tuple[np.ndarray, Examples]:
    values, labels, patients = zip(*rows, strict=True)
    examples = Examples(
        torch.zeros((len(rows), 1)), torch.tensor(labels).float(), torch.tensor(patients)
    )
    return np.array(values), examples


def counts(rows: Sequence[tuple[float, bool, int]], bins: int) -> np.ndarray:
    values, examples = examples_of(rows)
    return np.array(histogram(values, examples, bins=bins, noise_multiplier=None).counts)


@given(rows=ROWS, bins=st.integers(2, 12))
def test_counts_are_those_of_a_loop_over_images(
    rows: Sequence[tuple[float, bool, int]], bins: int
) -> None:
    expected = np.zeros((2, bins))
    for score, label, patient in rows:
        own = sum(other == patient for _, _, other in rows)
        place = min(int(score * bins), bins - 1)
        expected[int(label), place] += 1 / own
    assert np.abs(counts(rows, bins) / UNIT - expected).max() <= len(rows) / UNIT


@given(rows=ROWS, bins=st.integers(2, 12))
def test_removing_a_patient_moves_the_counts_by_at_most_one(
    rows: Sequence[tuple[float, bool, int]], bins: int
) -> None:
    patient = rows[0][2]
    rest = [row for row in rows if row[2] != patient]
    without = counts(rest, bins) if rest else np.zeros((2, bins))
    assert np.linalg.norm(counts(rows, bins) - without) <= UNIT


def test_noise_has_its_deviation_on_the_grid_and_negative_counts_stay() -> None:
    values, examples = examples_of([(0.5, True, 0)])
    found = np.array(histogram(values, examples, bins=1000, noise_multiplier=3.0).counts)
    noise = found / UNIT
    noise[1, 500] -= 1.0
    assert abs(noise.mean()) < 6 * 3.0 / 2000**0.5
    assert abs((noise**2).mean() / 9 - 1) < 6 * (2 / 2000) ** 0.5
    assert (found < 0).any()


def test_no_validation_patient_gives_noise_alone() -> None:
    empty = examples_for(linear_network(), [])
    found = histogram(np.zeros(0), empty, bins=4, noise_multiplier=1.0)
    assert all(count != 0 for row in found.counts for count in row)
    plain = histogram(np.zeros(0), empty, bins=4, noise_multiplier=None)
    assert plain.counts == ((0,) * 4, (0,) * 4)


def test_scores_are_probabilities_of_each_image_alone() -> None:
    network = small_network()
    examples = examples_for(network, [3] * 30)
    arrays = {name: array * 2 for name, array in trainable_arrays(network.module).items()}
    found = scores(network, examples, arrays)
    with torch.no_grad():
        logits = torch.cat([network.module(one[None]) for one in examples.inputs])
    np.testing.assert_allclose(found, logits.sigmoid().numpy(), rtol=1e-4)
    assert scores(network, examples_for(network, []), arrays).shape == (0,)


def test_a_logit_that_is_no_number_scores_0() -> None:
    network: Network = linear_network(2)
    examples = Examples(
        torch.tensor([[float("inf"), 1.0], [0.0, 1.0], [3e38, 3e38]]),
        torch.ones(3),
        torch.arange(3),
    )
    found = scores(network, examples, {"0.weight": np.array([[1.0, 0.0]], np.float32)})
    assert found.tolist()[1] == 0.5
    assert np.isfinite(found).all()
    found = scores(network, examples, {"0.weight": np.array([[0.0, 0.0]], np.float32)})
    assert found.tolist()[0] == 0.0
