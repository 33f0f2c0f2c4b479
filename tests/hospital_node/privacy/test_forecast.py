"""The forecast against the ledger that will enforce it."""

from pathlib import Path

import pytest

from hospital_node.privacy.forecast import forecast
from hospital_node.privacy.ledger import Entry, Ledger, create
from schemas.errors import BudgetExceeded
from schemas.manifest import Part
from schemas.plan import TrainingPlan
from schemas.privacy import SampledGaussian

DELTA = 1e-5
DIGEST = "sha256:" + "0" * 64
PLAN = """
name = "p"
title = ""
contract = {{ file = "c.toml" }}
initial = {{ seed = 0 }}
network = {{ kind = "gabor-fourier" }}
sites = [{{ site = "a", expected_patients = 100.0 }}]
rounds = {rounds}
local = {{ kind = "private-steps", steps = 2, optimizer = {{ kind = "sgd", learning_rate = 1.0 }} }}
evaluation = {{ rounds = {judged}, noise_multiplier = 2.0 }}
participation = {{ quorum = 1 }}
[privacy]
kind = "patient"
sampling_rate = {rate}
noise_multiplier = 3.0
max_norm = 1.0
delta = 1e-5
"""


def plan_of(*, rounds: int = 6, judged: str = "[2, 4, 6]", rate: float = 1.0) -> TrainingPlan:
    return TrainingPlan.from_toml(PLAN.format(rounds=rounds, judged=judged, rate=rate))


def entry(request: str, part: Part, event: SampledGaussian) -> Entry:
    return Entry(
        request=request,
        run="r",
        plan=DIGEST,
        round=1,
        part=part,
        event=event,
        max_norm=1.0,
        contract=DIGEST,
        cohort=DIGEST,
        software="1",
    )


def first_refused(ledger: Ledger, plan: TrainingPlan, limit: float) -> int | None:
    """Run the plan's charges in order, as a session would."""
    training, evaluation = plan.train_event(), plan.evaluation_event()
    assert training is not None
    assert evaluation is not None
    for number in range(1, plan.rounds + 1):
        try:
            ledger.reserve(entry(f"t{number}", "train", training), limit=limit, delta=DELTA)
            if number in plan.evaluation.rounds:
                judged = entry(f"e{number}", "validation", evaluation)
                ledger.reserve(judged, limit=limit, delta=DELTA)
        except BudgetExceeded:
            return number
    return None


@pytest.mark.parametrize(
    ("limit", "rate"), [(0.5, 1.0), (3.3, 1.0), (4.2, 1.0), (50.0, 1.0), (1.6, 0.5)]
)
def test_the_forecast_names_the_round_that_the_ledger_refuses(
    tmp_path: Path, limit: float, rate: float
) -> None:
    plan = plan_of(rate=rate)
    create(tmp_path / "ledger.sqlite")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        earlier = SampledGaussian(sampling_rate=1.0, noise_multiplier=10.0, steps=1)
        ledger.reserve(entry("before", "train", earlier), limit=limit, delta=DELTA)
        ahead = forecast(plan, ledger.entries(), limit=limit, delta=DELTA)
        assert ahead.refused == first_refused(ledger, plan, limit)
        if ahead.refused is None:
            assert ahead.rounds[-1].train == ledger.spent("train", delta=DELTA).rdp
            assert ahead.rounds[-1].validation == ledger.spent("validation", delta=DELTA).rdp


def test_only_judged_rounds_cost_the_validation_patients() -> None:
    ahead = forecast(plan_of(), (), limit=100.0, delta=DELTA)
    first, second, third = (one.validation for one in ahead.rounds[:3])
    assert (first, third) == (0.0, second)
    assert second > 0
    assert ahead.before.train == 0.0


def test_a_plan_without_privacy_is_not_priced() -> None:
    text = PLAN.format(rounds=2, judged="[2]", rate=1.0)
    text = text.split("[privacy]")[0].replace(", noise_multiplier = 2.0", "")
    text = text.replace(
        'kind = "private-steps", steps = 2, optimizer',
        'kind = "epochs", epochs = 1, batch_images = 8, optimizer',
    )
    plan = TrainingPlan.from_toml(text + '[privacy]\nkind = "none"\n')
    ahead = forecast(plan, (), limit=1.0, delta=DELTA)
    assert ahead.rounds == ()
    assert ahead.refused is None
