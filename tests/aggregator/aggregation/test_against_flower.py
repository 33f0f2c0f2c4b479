"""Server optimizers and combiners give what Flower's own strategies give, to 1e-6."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
)
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from aggregator.aggregation.algorithms import stepped
from aggregator.aggregation.combiners import combined
from aggregator.aggregation.optimizers import ServerState, Step
from aggregator.aggregation.spool import Spool, Vector
from schemas.aggregation import Aggregation
from tests.aggregator.examples import filled, flat_layout

SIZE, ROUNDS = 23, 6
WEIGHTS = {"A": 3.0, "B": 1.0, "C": 2.0, "D": 5.0, "E": 1.0, "F": 4.0, "G": 2.0}
EQUAL = dict.fromkeys(WEIGHTS, 1.0)

Doubles: TypeAlias = NDArray[np.float64]
Case: TypeAlias = tuple[dict[str, Any], Callable[[], FedAvg], dict[str, float]]

CASES: dict[str, Case] = {
    "fedavg": ({"algorithm": "fedavg"}, FedAvg, WEIGHTS),
    "fedprox at the server": (
        {"algorithm": "fedprox", "proximal": 0.1},
        lambda: FedProx(proximal_mu=0.1),
        WEIGHTS,
    ),
    "fedavgm": (
        {"algorithm": "fedavgm", "momentum": 0.8, "learning_rate": 0.7},
        lambda: FedAvgM(server_learning_rate=0.7, server_momentum=0.8),
        WEIGHTS,
    ),
    "fedadagrad": (
        {"algorithm": "fedadagrad", "learning_rate": 0.1, "adaptivity": 1e-3},
        lambda: FedAdagrad(eta=0.1, tau=1e-3),
        WEIGHTS,
    ),
    "fedadam": (
        {
            "algorithm": "fedadam",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "second_momentum": 0.99,
            "adaptivity": 1e-3,
        },
        lambda: FedAdam(eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3),
        WEIGHTS,
    ),
    "fedyogi": (
        {
            "algorithm": "fedyogi",
            "learning_rate": 0.01,
            "momentum": 0.9,
            "second_momentum": 0.99,
            "adaptivity": 1e-3,
        },
        lambda: FedYogi(eta=0.01, beta_1=0.9, beta_2=0.99, tau=1e-3),
        WEIGHTS,
    ),
    "median": ({"combiner": {"kind": "median"}}, FedMedian, EQUAL),
    "trimmed mean": (
        {"combiner": {"kind": "trimmed-mean", "trim": 2}},
        lambda: FedTrimmedAvg(beta=2 / 7),
        EQUAL,
    ),
    "krum": (
        {"combiner": {"kind": "krum", "dishonest": 2}},
        lambda: Krum(num_malicious_nodes=2),
        EQUAL,
    ),
    "multi-krum": (
        {"combiner": {"kind": "krum", "dishonest": 2, "keep": 3}},
        lambda: MultiKrum(num_malicious_nodes=2, num_nodes_to_select=3),
        EQUAL,
    ),
}


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Flower make messages outside of a run."""
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def message(values: Doubles, weight: float) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({"w": Array(values)}),
            "metrics": MetricRecord({"num-examples": weight}),
        }
    )
    return Message(content=content, dst_node_id=1, message_type="train")


def of_flower(strategy: FedAvg, start: Doubles, deltas: list[dict[str, Vector]], case: Case) -> Any:
    """Run the rounds as Flower does; it aggregates whole models, not deltas."""
    current = start
    for number, one in enumerate(deltas, start=1):
        if isinstance(strategy, FedAvgM) and strategy.current_arrays is None:
            strategy.current_arrays = ArrayRecord({"w": Array(current)})
        elif isinstance(strategy, FedAdagrad | FedAdam | FedYogi):
            strategy.current_arrays = {"w": current}
        replies = [message(current + delta, case[2][site]) for site, delta in one.items()]
        arrays, _ = strategy.aggregate_train(number, replies)
        assert arrays is not None
        current = arrays["w"].numpy()
    return current


def of_ours(start: Doubles, deltas: list[dict[str, Vector]], case: Case) -> Vector:
    rule = Aggregation.model_validate(case[0])
    state = ServerState(start.astype(np.float32))
    for number, one in enumerate(deltas, start=1):
        with tempfile.TemporaryDirectory() as folder:
            spool = filled(Spool(Path(folder), flat_layout(SIZE)), one)
            delta, _ = combined(spool, case[2], rule.combiner)
        state = stepped(state, delta, Step(rule), round=number)
    return state.iterate


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_what_flower_gives(case: Case) -> None:
    generator = np.random.default_rng(7)
    start = generator.standard_normal(SIZE).astype(np.float32).astype(np.float64)
    deltas = [
        {site: (0.1 * generator.standard_normal(SIZE)).astype(np.float32) for site in WEIGHTS}
        for _ in range(ROUNDS)
    ]
    expected = of_flower(case[1](), start, deltas, case)
    found = of_ours(start, deltas, case)
    assert np.abs(expected - start).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
