"""A round's updates held against each other."""

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.aggregation.spool import Spool, Vector
from aggregator.gates.comparison import faults_together, mean_cosines, too_long
from aggregator.gates.update_gate import Fault
from schemas.aggregation import UpdateGate
from tests.aggregator.examples import filled, flat_layout

GATE = UpdateGate()
STRICT = UpdateGate(opposed_norm_ratio=0.0)
SIZE = 200


def honest(sites: int, *, seed: int = 0, shared: float = 1.0) -> dict[str, Vector]:
    """Draw updates that agree in part: cosines of shared^2 / (shared^2 + 1) about."""
    generator = np.random.default_rng(seed)
    common = shared * generator.standard_normal(SIZE)
    return {
        f"S{number}": (common + generator.standard_normal(SIZE)).astype(np.float32)
        for number in range(sites)
    }


def norms(deltas: dict[str, Vector]) -> dict[str, float]:
    return {site: math.sqrt(np.square(one, dtype=np.float64).sum()) for site, one in deltas.items()}


def faults(deltas: dict[str, Vector], gate: UpdateGate = GATE) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        spool = filled(Spool(Path(folder), flat_layout(SIZE)), deltas)
        found = faults_together(spool, norms(deltas), gate)
        return {site: fault.check for site, fault in found.items()}


def test_an_update_far_longer_than_the_median_is_named() -> None:
    assert too_long({"A": 1.0, "B": 1.2, "C": 0.8, "D": 500.0}, GATE) == {
        "D": Fault(
            "median-norm",
            "update refused: its L2 norm is up to 1e+03 times the median of the 3 others, "
            "at most 10 times is allowed",
        )
    }


LENGTHS = {
    "all alike": ({"A": 1.0, "B": 1.0, "C": 1.0}, []),
    "exactly at the ratio": ({"A": 1.0, "B": 1.0, "C": 10.0}, []),
    "just over it": ({"A": 1.0, "B": 1.0, "C": 10.1}, ["C"]),
    "of two nobody can say which is odd": ({"A": 1.0, "B": 1e6}, []),
    "no ratio over a median of zero": ({"A": 0.0, "B": 0.0, "C": 1.0}, []),
    "an update is no part of its own measure": ({"A": 1.0, "B": 9.0, "C": 51.0}, ["C"]),
    "zeros beside others": ({"A": 0.0, "B": 1.0, "C": 1.0}, []),
    "none": ({}, []),
}


@pytest.mark.parametrize(("norms", "named"), LENGTHS.values(), ids=LENGTHS)
def test_the_median_needs_three_updates_and_a_length(
    norms: dict[str, float], named: list[str]
) -> None:
    assert sorted(too_long(norms, GATE)) == named


@settings(max_examples=15)
@given(seed=st.integers(0, 999), sites=st.integers(2, 7), zero=st.booleans())
def test_the_mean_cosine_is_that_of_every_pair(seed: int, sites: int, zero: bool) -> None:  # noqa: FBT001
    deltas = honest(sites, seed=seed)
    if zero:
        deltas["S0"] = np.zeros(SIZE, dtype=np.float32)
    norms = {site: float(np.linalg.norm(one.astype(float))) for site, one in deltas.items()}
    expected = {
        site: np.mean(
            [
                one.astype(float) @ other / (norms[site] * norms[name] or 1.0)
                for name, other in deltas.items()
                if name != site
            ]
        )
        for site, one in deltas.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        spool = filled(Spool(Path(folder), flat_layout(SIZE)), deltas)
        assert mean_cosines(spool, norms) == pytest.approx(expected, abs=1e-9)


def test_honest_updates_have_no_fault_also_when_noise_drowns_them() -> None:
    assert faults(honest(5)) == {}
    assert faults(honest(5, shared=0.0)) == {}


@pytest.mark.parametrize("sites", [3, 4, 9])
def test_a_long_update_against_the_others_is_named_alone(sites: int) -> None:
    deltas = honest(sites)
    deltas["S1"] = np.float32(-7) * deltas["S1"]
    assert faults(deltas) == {"S1": "direction"}


def test_opposition_alone_is_no_fault_but_where_the_plan_says_so() -> None:
    deltas = honest(4)
    deltas["S1"] = -deltas["S1"]
    assert faults(deltas) == {}
    assert faults(deltas, STRICT) == {"S1": "direction"}


def test_length_alone_is_allowed_more_than_length_against_the_others() -> None:
    deltas = honest(4)
    deltas["S1"] = np.float32(7) * deltas["S1"]
    assert faults(deltas) == {}


def test_a_long_update_against_the_others_hides_no_direction() -> None:
    deltas = honest(5)
    deltas["S1"] = np.float32(-100) * deltas["S1"]
    deltas["S2"] = -deltas["S2"]
    assert faults(deltas, STRICT) == {"S1": "median-norm", "S2": "direction"}


def test_a_plan_may_ask_for_no_direction() -> None:
    deltas = honest(4)
    deltas["S1"] = np.float32(-7) * deltas["S1"]
    assert faults(deltas, UpdateGate(least_cosine=-1.0)) == {}


def test_of_two_updates_neither_is_the_odd_one() -> None:
    deltas = honest(2)
    deltas["S1"] = np.float32(-7) * deltas["S1"]
    assert faults(deltas) == {}


def test_the_reason_says_a_cosine_and_no_value() -> None:
    deltas = honest(4)
    deltas["S1"] = np.float32(-7) * deltas["S1"]
    with tempfile.TemporaryDirectory() as folder:
        spool = filled(Spool(Path(folder), flat_layout(SIZE)), deltas)
        (fault,) = faults_together(spool, norms(deltas), GATE).values()
    assert fault.reason == (
        "update refused: its mean cosine with the 3 others is -0.5, under -0.25, "
        "and it is longer than 5 times their median, which is allowed then"
    )
