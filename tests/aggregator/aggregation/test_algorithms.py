from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.aggregation.algorithms import candidate, stepped
from aggregator.aggregation.combiners import combined
from aggregator.aggregation.optimizers import ServerState, Step
from aggregator.aggregation.spool import Spool, Vector
from schemas.aggregation import Aggregation
from schemas.errors import ArraysRefused
from tests.aggregator.examples import filled, flat_layout

FEDAVG = Aggregation()


def deltas_of(seed: int, *, rounds: int) -> list[Vector]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(9).astype(np.float32) for _ in range(rounds)]


def run(deltas: list[Vector], aggregation: Aggregation) -> ServerState:
    state = ServerState(np.zeros(9, dtype=np.float32))
    for number, delta in enumerate(deltas, start=1):
        state = stepped(state, delta, Step(aggregation), round=number)
    return state


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    rounds=st.integers(1, 8),
    momentum=st.floats(0.05, 0.95),
    rate=st.floats(0.05, 2.0),
)
def test_fedavgm_is_the_hand_written_loop(
    seed: int, rounds: int, momentum: float, rate: float
) -> None:
    deltas = deltas_of(seed, rounds=rounds)
    weights, velocity = np.zeros(9), np.zeros(9)
    for delta in deltas:
        velocity = momentum * velocity + delta
        weights = weights + rate * velocity
    aggregation = Aggregation(algorithm="fedavgm", momentum=momentum, learning_rate=rate)
    found = run(deltas, aggregation)
    np.testing.assert_allclose(found.iterate, weights, rtol=1e-5, atol=1e-5)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), rounds=st.integers(1, 8), since=st.integers(1, 9))
def test_the_candidate_is_the_mean_of_the_iterates_since_the_plans_round(
    seed: int, rounds: int, since: int
) -> None:
    deltas = deltas_of(seed, rounds=rounds)
    iterates = np.cumsum(np.asarray(deltas, dtype=np.float64), axis=0)
    found = run(deltas, Aggregation(average_from=since))
    tail = iterates[since - 1 :]
    expected = tail.mean(axis=0) if len(tail) else iterates[-1]
    np.testing.assert_allclose(candidate(found), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.iterate, iterates[-1], rtol=1e-5, atol=1e-5)
    assert found.averaged == len(tail)


def test_without_averaging_the_candidate_is_the_iterate() -> None:
    found = run(deltas_of(1, rounds=3), FEDAVG)
    assert candidate(found) is found.iterate


def test_fedavg_of_one_site_that_trained_is_that_sites_model(tmp_path: Path) -> None:
    start, trained = deltas_of(2, rounds=2)
    spool = filled(Spool(tmp_path, flat_layout(9)), {"A": trained - start})
    delta, _ = combined(spool, {"A": 3.0}, FEDAVG.combiner)
    found = stepped(ServerState(start), delta, Step(FEDAVG), round=1)
    np.testing.assert_allclose(found.iterate, trained, rtol=1e-6, atol=1e-7)


def test_a_step_leaves_the_state_before_it_as_it_was() -> None:
    before = run(deltas_of(3, rounds=2), Aggregation(average_from=1))
    kept = [one.copy() for one in (before.iterate, candidate(before))]
    stepped(before, deltas_of(4, rounds=1)[0], Step(Aggregation(average_from=1)), round=3)
    assert np.array_equal(before.iterate, kept[0])
    assert np.array_equal(candidate(before), kept[1])


def test_a_delta_that_overflows_the_model_is_refused() -> None:
    state = ServerState(np.full(2, 3e38, dtype=np.float32))
    with pytest.raises(ArraysRefused, match="only finite are allowed"):
        stepped(state, state.iterate, Step(FEDAVG), round=1)
