import math

import numpy as np
import pytest

from aggregator.gates.update_gate import (
    Fault,
    faults_of_evaluation,
    norm_of,
    weighed,
)
from schemas.dice import DiceHistogram
from schemas.plan import TrainingPlan
from schemas.privacy import PrivacyStatement, SampledGaussian, Spend
from schemas.update import Evaluation, Histogram
from schemas.wire.arrays import header
from schemas.wire.layout import ArraySpec, Layout
from tests.aggregator.examples import (
    DIGEST,
    HEAD,
    LAYOUT,
    PRIVATE,
    SIZE,
    body,
    histogram,
    plan,
    statement,
    update,
)

DELTA = np.full(SIZE, 0.5, dtype=np.float32)
OPEN = plan()
CLOSED = plan(**PRIVATE)
BOUNDED = plan(update_gate={"max_norm": 2.0})


def alone(content: bytes, of: TrainingPlan = OPEN) -> tuple[Fault, ...]:
    return weighed(update("A", content), content, plan=of, layout=LAYOUT).faults


def with_one(value: float) -> bytes:
    changed = DELTA.copy()
    changed[3] = value
    return body(changed)


def other(*layout: ArraySpec) -> bytes:
    named: Layout = layout
    return header(named) + b"\0" * 4 * sum(one.size for one in named)


A, B = LAYOUT
GOOD = {
    "a plain delta": body(DELTA),
    "the smallest values": with_one(1e-45),
}
BAD = {
    "zeros": (body(0 * DELTA), "zero", "all its values are zero"),
    "NaN": (with_one(math.nan), "finite", "not finite"),
    "infinity": (with_one(math.inf), "finite", "not finite"),
    "minus infinity": (with_one(-math.inf), "finite", "not finite"),
    "1e30 where the plan has no bound": (
        with_one(1e30),
        "norm",
        "its L2 norm is up to 1e+31, at most 1e+06 is allowed",
    ),
    "the largest float": (with_one(3.4e38), "norm", "up to 1e+39"),
    "nothing": (b"", "layout", "0 bytes, the layout needs"),
    "truncated": (body(DELTA)[:-1], "layout", "the layout needs"),
    "oversized": (body(DELTA) + b"\0", "layout", "the layout needs"),
    "a missing array": (other(A), "layout", "the layout needs"),
    "an extra array": (other(A, B, ArraySpec(name="c", shape=(1,))), "layout", "the layout needs"),
    "another name": (other(A, ArraySpec(name="c", shape=(2, 2))), "layout", "names, shapes"),
    "another order": (other(B, A), "layout", "names, shapes"),
    "another shape of the same size": (
        other(A, ArraySpec(name="b", shape=(4, 1))),
        "layout",
        "names, shapes",
    ),
    "one value to be spread over all": (
        other(ArraySpec(name="a", shape=(1,)), B),
        "layout",
        "the layout needs",
    ),
    "another dtype": (body(DELTA).replace(b"F32", b"I32"), "layout", "names, shapes"),
}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_a_usable_update_has_no_fault(content: bytes) -> None:
    assert alone(content) == ()


@pytest.mark.parametrize(("content", "check", "reason"), BAD.values(), ids=BAD)
def test_a_bad_update_is_refused_with_its_check_and_reason(
    content: bytes, check: str, reason: str
) -> None:
    (fault,) = alone(content)
    assert fault.check == check
    assert reason in fault.reason


def test_the_plans_bound_is_inclusive_and_the_norm_is_said_to_a_power_of_ten() -> None:
    at_bound = np.zeros(SIZE, dtype=np.float32)
    at_bound[0] = 2
    assert alone(body(at_bound), BOUNDED) == ()
    (fault,) = alone(body(100 * DELTA), BOUNDED)
    assert fault == Fault(
        "norm", "update refused: its L2 norm is up to 1e+03, at most 2 is allowed"
    )


def test_the_norm_is_the_obvious_one_over_many_parts() -> None:
    values = np.random.default_rng(1).standard_normal(2**18 + 77).astype(np.float32)
    layout: Layout = (ArraySpec(name="w", shape=values.shape),)
    expected = math.sqrt(math.fsum(float(one) ** 2 for one in values))
    assert norm_of(body(values, layout), layout) == pytest.approx(expected, rel=1e-12)


def test_a_statement_that_equals_the_plan_has_no_fault() -> None:
    content = body(DELTA)
    stated = update("A", content, statement(CLOSED))
    assert weighed(stated, content, plan=CLOSED, layout=LAYOUT).faults == ()


OTHER_EVENT = SampledGaussian(sampling_rate=0.5, noise_multiplier=2.0, steps=1)
STATEMENTS: dict[str, tuple[TrainingPlan, PrivacyStatement | None, str]] = {
    "missing": (CLOSED, None, "it has none privacy statement, the plan demands one"),
    "not asked for": (
        OPEN,
        statement(CLOSED),
        "it has one privacy statement, the plan demands none",
    ),
    "fewer steps": (CLOSED, statement(CLOSED, event=OTHER_EVENT), "another event than the plan"),
    "another clipping bound": (CLOSED, statement(CLOSED, max_norm=1.0), "another max_norm than"),
    "another part": (CLOSED, statement(CLOSED, part="validation"), "another part than"),
    "another delta": (
        CLOSED,
        statement(CLOSED, spent=Spend(delta=1e-5, rdp=1.0, pld=1.0)),
        "another delta than",
    ),
    "two differences": (
        CLOSED,
        statement(CLOSED, event=OTHER_EVENT, max_norm=1.0),
        "another event, max_norm than",
    ),
}


@pytest.mark.parametrize(("of", "stated", "reason"), STATEMENTS.values(), ids=STATEMENTS)
def test_a_statement_that_differs_from_the_plan_is_refused(
    of: TrainingPlan, stated: PrivacyStatement | None, reason: str
) -> None:
    content = body(DELTA)
    (fault,) = weighed(update("A", content, stated), content, plan=of, layout=LAYOUT).faults
    assert fault.check == "privacy"
    assert reason in fault.reason


def test_every_fault_of_an_update_is_listed() -> None:
    content = with_one(math.nan)
    found = weighed(update("A", content), content, plan=CLOSED, layout=LAYOUT).faults
    assert [one.check for one in found] == ["privacy", "finite"]


def evaluation(
    found: Histogram | DiceHistogram, privacy: PrivacyStatement | None = None
) -> Evaluation:
    return Evaluation(
        federation="study",
        run="run-1",
        plan=DIGEST,
        round=2,
        request="run-1.2.evaluate",
        site="A",
        head=HEAD,
        arrays=DIGEST,
        histogram=found,
        privacy=privacy,
    )


def test_an_evaluation_that_fits_its_plan_has_no_fault() -> None:
    clean = evaluation(histogram([1] * 10, [0] * 10))
    assert faults_of_evaluation(clean, plan=OPEN) == ()
    stated = statement(CLOSED, event=CLOSED.evaluation_event(), max_norm=1.0, part="validation")
    loud = evaluation(histogram([-1.5] * 10, [3] * 10), stated)
    assert faults_of_evaluation(loud, plan=CLOSED) == ()


EVALUATIONS = {
    "other bins": (histogram([1] * 5, [1] * 5), "bins", "5 bins, the plan has 10"),
    "negative without noise": (histogram([-1] * 10, [1] * 10), "counts", "a negative count"),
    "of another task": (DiceHistogram(counts=(1,) * 10), "kind", "its histogram is not of AUROC"),
    "a claim of 1e12 patients": (
        histogram([1] * 10, [1e12] + [1] * 9),
        "counts",
        "over a billion patients",
    ),
}


@pytest.mark.parametrize(("found", "check", "reason"), EVALUATIONS.values(), ids=EVALUATIONS)
def test_an_evaluation_that_cannot_be_is_refused(
    found: Histogram | DiceHistogram, check: str, reason: str
) -> None:
    (fault,) = faults_of_evaluation(evaluation(found), plan=OPEN)
    assert fault.check == check
    assert reason in fault.reason


def test_an_evaluation_charged_as_training_is_refused() -> None:
    found = evaluation(histogram([1] * 10, [1] * 10), statement(CLOSED))
    (fault,) = faults_of_evaluation(found, plan=CLOSED)
    assert "another event, max_norm, part than the plan" in fault.reason


def test_an_evaluation_of_a_segmentation_is_held_to_its_bins_and_counts() -> None:
    outlining = plan(network={"kind": "unet"})
    clean = evaluation(DiceHistogram(counts=(0, 2**20) * 5))
    assert faults_of_evaluation(clean, plan=outlining) == ()
    faults: dict[str, Histogram | DiceHistogram] = {
        "kind": histogram([1] * 10, [1] * 10),
        "bins": DiceHistogram(counts=(1, 1)),
        "counts": DiceHistogram(counts=(-1,) * 10),
    }
    for check, found in faults.items():
        (fault,) = faults_of_evaluation(evaluation(found), plan=outlining)
        assert fault.check == check
