"""What a site gives to a sum is not zero, finite, and within the bounds, or it is not kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aggregator.checkpoints.store import written
from hospital_node.node import Node
from hospital_node.protection.self_check import kept_delta, kept_histogram
from schemas.errors import PeerRefused
from schemas.plan import TrainingPlan
from schemas.protection.terms import LARGEST_COUNT
from schemas.update import Histogram, TrainRequest
from schemas.wire.arrays import declared_layout
from schemas.wire.envelope import Envelope
from tests.masked import MASKED
from tests.tapped import Attacked, round_before


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with round_before(tmp_path_factory.mktemp("study"), "advertise", MASKED) as found:
        yield found


def asked(attacked: Attacked) -> tuple[Node, TrainRequest, TrainingPlan]:
    """Return a node, what it was asked, and the plan: deltas of norm 10 at most."""
    work = Envelope.from_canonical(attacked.tapped.packets["work"].envelope)
    request = TrainRequest.from_canonical(work.payload_bytes)
    (path,) = attacked.embedded.federation.home.runs.glob("*/plan.json")
    return attacked.embedded.nodes["east"], request, TrainingPlan.from_canonical(path.read_bytes())


PLACE = np.float32(1.2345678)
"""Where a value goes that no store would write."""


def delta(attacked: Attacked, first: float, others: float = 0.0) -> bytes:
    """Return a delta of the study's layout."""
    layout = declared_layout(attacked.tapped.packets["work"].body)
    values = np.full(sum(one.size for one in layout), others, np.float32)
    values[0] = PLACE
    first_bytes = np.float32(first).tobytes()
    return written(layout, values).replace(PLACE.tobytes(), first_bytes, 1)


def value(attacked: Attacked) -> Path:
    (found,) = attacked.embedded.nodes["east"].home.sums.rglob("value")
    return found


ZERO, OVER = "its L2 norm is zero", "is not finite or over the plan's bound"


@pytest.mark.parametrize(
    ("first", "others", "reason"),
    [
        (0.0, 0.0, ZERO),
        (-0.0, 0.0, ZERO),
        (10.001, 0.0, OVER),
        (9.99, 1.0, OVER),
        (np.nan, 0.0, OVER),
        (np.inf, 0.0, OVER),
        (-np.inf, 0.0, OVER),
        (3e38, 3e38, OVER),
    ],
)
def test_a_delta_that_may_not_be_summed_is_not_kept(
    attacked: Attacked, first: float, others: float, reason: str
) -> None:
    node, request, plan = asked(attacked)
    before = value(attacked).read_bytes()
    with pytest.raises(PeerRefused, match=reason):
        kept_delta(node, request, plan, delta(attacked, first, others))
    assert value(attacked).read_bytes() == before


@pytest.mark.parametrize("first", [1e-30, 10.0, -10.0])
def test_a_delta_within_the_bound_is_kept(attacked: Attacked, first: float) -> None:
    node, request, plan = asked(attacked)
    found = delta(attacked, first)
    assert kept_delta(node, request, plan, found) == 10.0
    assert value(attacked).read_bytes().endswith(found)


@pytest.mark.parametrize("wrong", [LARGEST_COUNT + 1, -LARGEST_COUNT - 1, 2**200, -(2**200)])
def test_a_count_that_no_study_can_have_is_not_kept(attacked: Attacked, wrong: int) -> None:
    node, request, _ = asked(attacked)
    before = value(attacked).read_bytes()
    with pytest.raises(PeerRefused, match="a bin holds over a billion patients"):
        kept_histogram(node, request, Histogram(counts=((0, wrong), (1, 2))))
    assert value(attacked).read_bytes() == before


def test_the_largest_counts_are_kept(attacked: Attacked) -> None:
    node, request, _ = asked(attacked)
    histogram = Histogram(counts=((LARGEST_COUNT,), (-LARGEST_COUNT,)))
    assert kept_histogram(node, request, histogram) == float(LARGEST_COUNT)
    assert value(attacked).read_bytes().endswith(histogram.canonical())
