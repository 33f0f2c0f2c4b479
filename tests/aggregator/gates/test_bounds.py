from dataclasses import dataclass

import pytest

from aggregator.gates.bounds import absolute, averaged, for_release
from aggregator.gates.model_gate import judged
from schemas.gate import Estimate, Figures, ModelGate, Outcome, ReleaseCriteria, SiteMetric
from tests.aggregator.examples import histogram

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def site(name: str, **figures: Estimate) -> SiteMetric:
    shown = Figures(**figures)
    return SiteMetric(
        site=name, auroc=0.9, deviation=0.0, negatives=50, positives=50, figures=shown
    )


@dataclass(frozen=True)
class Story:
    value: float
    outcome: Outcome
    reason: str
    noise: float = 0.0
    bias: float = 0.0
    burden: str = "accepted"


SENSITIVITIES = {
    "reached": Story(0.85, "accepted", "mean sensitivity 0.850 reaches the least of 0.800"),
    "missed": Story(0.75, "rejected", "mean sensitivity 0.750 misses the least of 0.800"),
    "missed, not shown": Story(
        0.78,
        "accepted",
        "mean sensitivity 0.780 (noise deviation 0.050) is not shown to miss the least of 0.800 "
        "at confidence 0.95",
        noise=0.05,
    ),
    "reached, not shown": Story(
        0.82,
        "inconclusive",
        "mean sensitivity 0.820 (noise deviation 0.050) is not shown to reach the least of 0.800 "
        "at confidence 0.95",
        noise=0.05,
        burden="candidate",
    ),
}
CALIBRATIONS = {
    "within": Story(0.05, "accepted", "mean calibration error 0.050 is within the most of 0.100"),
    "over": Story(0.15, "rejected", "mean calibration error 0.150 is over the most of 0.100"),
    "over by what noise may add": Story(
        0.15,
        "accepted",
        "mean calibration error 0.150 (noise deviation 0.010), up to 0.050 of it from noise, "
        "is not shown to be over the most of 0.100 at confidence 0.95",
        noise=0.01,
        bias=0.05,
    ),
    "over by more than noise may add": Story(
        0.2,
        "rejected",
        "mean calibration error 0.200 (noise deviation 0.010), up to 0.050 of it from noise, "
        "is over the most of 0.100 at confidence 0.95",
        noise=0.01,
        bias=0.05,
    ),
    "not shown to be within": Story(
        0.09,
        "inconclusive",
        "mean calibration error 0.090 (noise deviation 0.010), up to 0.050 of it from noise, "
        "is not shown to be within the most of 0.100 at confidence 0.95",
        noise=0.01,
        bias=0.05,
        burden="candidate",
    ),
}


def told(story: Story, check: str) -> tuple[str, Outcome, str]:
    gate = ModelGate.model_validate(
        {
            "burden": story.burden,
            "min_sensitivity": 0.8 if check == "sensitivity" else None,
            "max_calibration_error": 0.1 if check == "calibration" else None,
        }
    )
    one = Estimate(value=story.value, noise=story.noise, sampling=0.2, bias=story.bias)
    name = "sensitivity" if check == "sensitivity" else "calibration_error"
    (found,) = absolute([site("A", **{name: one}), site("B")], gate)
    return found.check, found.outcome, found.reason


@pytest.mark.parametrize("story", SENSITIVITIES.values(), ids=SENSITIVITIES)
def test_a_least_sensitivity_has_three_outcomes(story: Story) -> None:
    assert told(story, "sensitivity") == ("sensitivity", story.outcome, story.reason)


@pytest.mark.parametrize("story", CALIBRATIONS.values(), ids=CALIBRATIONS)
def test_a_most_calibration_error_has_three_outcomes(story: Story) -> None:
    assert told(story, "calibration") == ("calibration", story.outcome, story.reason)


def test_a_bound_on_what_no_site_has_is_inconclusive() -> None:
    gate = ModelGate(min_sensitivity=0.8, max_calibration_error=0.1)
    assert [one.outcome for one in absolute([site("A")], gate)] == ["inconclusive"] * 2


def test_without_bounds_nothing_is_checked() -> None:
    assert list(absolute([site("A")], ModelGate())) == []


def test_a_mean_of_independent_estimates_is_surer_but_as_biased() -> None:
    one = Estimate(value=0.4, noise=0.3, sampling=0.1, bias=0.2)
    found = averaged([one, one.model_copy(update={"value": 0.6})])
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert (found.noise, found.sampling) == pytest.approx((0.3 / 2**0.5, 0.1 / 2**0.5))
    assert found.bias == pytest.approx(0.2)


def test_a_candidate_is_held_against_the_bounds_before_and_after_a_first_acceptance() -> None:
    gate = ModelGate(floor=0.5, margin=1.0, site_margin=1.0, min_sensitivity=0.9)
    shy = {"A": histogram([50, 0], [30, 20]), "B": histogram([60, 0], [40, 20])}
    for accepted in (None, shy):
        verdict = judged(shy, accepted, gate=gate, noise_multiplier=None, binding=(1, ONE, TWO))
        assert verdict.outcome == "rejected"
        assert verdict.reason == ("rejected: mean sensitivity 0.367 misses the least of 0.900")
        assert verdict.pooled.sensitivity is not None
        assert verdict.pooled.sensitivity.value == pytest.approx(40 / 110)
        assert verdict.pooled.specificity is not None
        assert verdict.pooled.specificity.value == 1.0


RELEASES: dict[str, tuple[ReleaseCriteria, list[tuple[str, Outcome]]]] = {
    "nothing is demanded": (ReleaseCriteria(), [("min-sites", "accepted")]),
    "all is met": (
        ReleaseCriteria(
            min_auroc=0.9, min_sensitivity=0.8, min_specificity=0.7, max_calibration_error=0.1
        ),
        [
            ("min-sites", "accepted"),
            ("auroc", "accepted"),
            ("sensitivity", "accepted"),
            ("specificity", "accepted"),
            ("calibration", "accepted"),
        ],
    ),
    "AUROC is missed": (
        ReleaseCriteria(min_auroc=0.95),
        [("min-sites", "accepted"), ("auroc", "rejected")],
    ),
    "specificity is missed": (
        ReleaseCriteria(min_specificity=0.75),
        [("min-sites", "accepted"), ("specificity", "rejected")],
    ),
    "too few sites": (ReleaseCriteria(min_sites=2), [("min-sites", "inconclusive")]),
}


@pytest.mark.parametrize("story", RELEASES)
def test_a_release_is_held_against_every_criterion_of_its_plan(story: str) -> None:
    criteria, expected = RELEASES[story]
    estimates = {"sensitivity": 0.8, "specificity": 0.7, "calibration_error": 0.1}
    figures = {
        name: Estimate(value=value, noise=0.0, sampling=0.1) for name, value in estimates.items()
    }
    found = for_release([site("A", **figures)], criteria=criteria, gate=ModelGate())
    assert [(one.check, one.outcome) for one in found] == expected


def test_a_figure_that_no_site_has_is_no_ground_to_release() -> None:
    nothing = site("A").model_copy(update={"auroc": None, "deviation": None})
    criteria = ReleaseCriteria(min_auroc=0.5, min_specificity=0.5)
    found = for_release([nothing], criteria=criteria, gate=ModelGate())
    assert [one.outcome for one in found] == ["inconclusive"] * 3
    assert "specificity is undefined" in found[2].reason
