from dataclasses import dataclass, field

import numpy as np
import pytest

from aggregator.gates.metrics import auroc, pooled
from aggregator.gates.model_gate import judged
from schemas.gate import ModelGate, Outcome, Verdict
from schemas.gate_power import least_class_weight
from schemas.update import Histogram
from tests.aggregator.examples import histogram, noised, of_scores

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
GATE = ModelGate(floor=0.7, min_sites=2)
PROVE = GATE.model_copy(update={"burden": "candidate"})


def site(area: float, *, patients: float = 100) -> Histogram:
    """A histogram of exactly this AUROC, with so many patients in each class."""
    return histogram([area * patients, 0, (1 - area) * patients], [0, patients, 0])


def sites(**areas: float) -> dict[str, Histogram]:
    return {name: site(area) for name, area in areas.items()}


SMALL = site(0.9, patients=5)
ACCEPTED = sites(A=0.9, B=0.8, C=0.85)


@dataclass(frozen=True)
class Story:
    candidate: dict[str, Histogram]
    outcome: Outcome
    reason: str
    accepted: dict[str, Histogram] | None = field(default_factory=lambda: ACCEPTED)
    gate: ModelGate = GATE
    noise: float | None = None


STORIES = {
    "better": Story(
        sites(A=0.92, B=0.83, C=0.86),
        "accepted",
        "accepted: stratified AUROC rose by 0.020",
    ),
    "equal": Story(ACCEPTED, "accepted", "accepted: stratified AUROC rose by 0.000"),
    "small loss": Story(
        sites(A=0.89, B=0.79, C=0.84),
        "accepted",
        "accepted: stratified AUROC fell by 0.010, within the margin 0.020",
    ),
    "loss of exactly the margin": Story(
        sites(A=0.88, B=0.78, C=0.83),
        "accepted",
        "accepted: stratified AUROC fell by 0.020, within the margin 0.020",
    ),
    "large loss": Story(
        sites(A=0.85, B=0.75, C=0.80),
        "rejected",
        "rejected: stratified AUROC fell by 0.050, over the margin 0.020",
    ),
    "one site collapses while the mean rises": Story(
        sites(A=0.99, B=0.6, C=0.99),
        "rejected",
        "rejected: AUROC at B fell by 0.200, over the margin 0.100",
    ),
    "one site falls over a margin of its own": Story(
        sites(A=0.95, B=0.76, C=0.86),
        "rejected",
        "rejected: AUROC at B fell by 0.040, over the margin 0.030",
        gate=GATE.model_copy(update={"site_margins": {"B": 0.03}}),
    ),
    "one site's own margin is wider than the others'": Story(
        sites(A=0.99, B=0.6, C=0.99),
        "accepted",
        "accepted: stratified AUROC rose by 0.010",
        gate=GATE.model_copy(update={"site_margins": {"B": 0.3}}),
    ),
    "two sites collapse": Story(
        sites(A=0.99, B=0.6, C=0.6),
        "rejected",
        "rejected: stratified AUROC fell by 0.120, over the margin 0.020 "
        "(also: site-loss at B, site-loss at C)",
    ),
    "too few sites": Story(
        sites(A=0.95),
        "inconclusive",
        "inconclusive: 1 site has a figure of its own, at least 2 are needed",
    ),
    "too few sites and one collapses": Story(
        sites(A=0.5),
        "rejected",
        "rejected: stratified AUROC fell by 0.400, over the margin 0.020 (also: site-loss at A)",
    ),
    "a site too small for a figure neither helps nor harms": Story(
        sites(A=0.9, B=0.8) | {"C": SMALL},
        "accepted",
        "accepted: stratified AUROC rose by 0.000",
    ),
    "no site replied": Story(
        {},
        "inconclusive",
        "inconclusive: 0 sites have a figure of their own, at least 2 are needed "
        "(also: stratified-loss)",
    ),
    "a new site counts only once both models have it": Story(
        sites(A=0.9, D=0.1),
        "inconclusive",
        "inconclusive: 1 site has a figure of its own, at least 2 are needed",
    ),
    "first, over the floor": Story(
        sites(A=0.8, B=0.7),
        "accepted",
        "accepted: stratified AUROC 0.750 reaches the floor 0.700",
        accepted=None,
    ),
    "first, at the floor": Story(
        sites(A=0.8, B=0.6),
        "accepted",
        "accepted: stratified AUROC 0.700 reaches the floor 0.700",
        accepted=None,
    ),
    "first, under the floor": Story(
        sites(A=0.7, B=0.6),
        "rejected",
        "rejected: stratified AUROC 0.650 misses the floor 0.700",
        accepted=None,
    ),
    "first, no site has a figure": Story(
        {"A": SMALL, "B": SMALL},
        "inconclusive",
        "inconclusive: 0 sites have a figure of their own, at least 2 are needed (also: floor)",
        accepted=None,
    ),
    "a loss that noise may explain, the accepted model must prove": Story(
        sites(A=0.85, B=0.75, C=0.80),
        "accepted",
        "accepted: stratified AUROC fell by 0.050 (noise deviation",
        noise=4.0,
    ),
    "the same loss, the candidate must prove": Story(
        sites(A=0.85, B=0.75, C=0.80),
        "inconclusive",
        "inconclusive: stratified AUROC fell by 0.050 (noise deviation",
        gate=PROVE,
        noise=4.0,
    ),
    "a loss that noise cannot explain": Story(
        sites(A=0.65, B=0.55, C=0.60),
        "rejected",
        "rejected: stratified AUROC fell by 0.250 (noise deviation",
        gate=PROVE,
        noise=1.0,
    ),
    "a gain that noise cannot take away": Story(
        sites(A=0.99, B=0.99, C=0.99),
        "accepted",
        "accepted: stratified AUROC rose by 0.140 (noise deviation",
        gate=PROVE,
        noise=1.0,
    ),
    "first, under the floor within noise": Story(
        sites(A=0.7, B=0.68),
        "accepted",
        "is not shown to miss the floor 0.700 at confidence 0.95",
        accepted=None,
        noise=2.0,
    ),
    "first, over the floor within noise, the candidate must prove": Story(
        sites(A=0.72, B=0.7),
        "inconclusive",
        "is not shown to reach the floor 0.700 at confidence 0.95",
        accepted=None,
        gate=PROVE,
        noise=2.0,
    ),
}


def verdict(story: Story) -> Verdict:
    return judged(
        story.candidate,
        story.accepted,
        gate=story.gate,
        noise_multiplier=story.noise,
        binding=(4, ONE, TWO),
    )


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_candidate_gets_the_verdict_of_its_story(story: Story) -> None:
    found = verdict(story)
    assert (found.outcome, found.reason) == (story.outcome, found.reason)
    assert story.reason in found.reason
    assert (found.round, found.candidate, found.accepted) == (4, ONE, TWO)
    assert Verdict.from_canonical(found.canonical()) == found


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_the_order_of_the_sites_changes_nothing(story: Story) -> None:
    turned = Story(
        dict(reversed(story.candidate.items())),
        story.outcome,
        story.reason,
        None if story.accepted is None else dict(reversed(story.accepted.items())),
        story.gate,
        story.noise,
    )
    assert verdict(turned) == verdict(story)


def test_every_check_says_what_it_found_and_what_was_allowed() -> None:
    found = verdict(STORIES["one site collapses while the mean rises"])
    assert [(one.check, one.site, one.outcome) for one in found.checks] == [
        ("min-sites", None, "accepted"),
        ("stratified-loss", None, "accepted"),
        ("site-loss", "A", "accepted"),
        ("site-loss", "B", "rejected"),
        ("site-loss", "C", "accepted"),
    ]
    assert found.checks[3].model_dump() == {
        "check": "site-loss",
        "outcome": "rejected",
        "found": pytest.approx(0.2),
        "allowed": 0.1,
        "deviation": 0.0,
        "site": "B",
        "reason": "AUROC at B fell by 0.200, over the margin 0.100",
    }


def test_a_site_without_a_figure_stands_in_the_verdict_as_undefined() -> None:
    found = verdict(STORIES["a site too small for a figure neither helps nor harms"])
    assert [(one.site, one.auroc is None) for one in found.sites] == [
        ("A", False),
        ("B", False),
        ("C", True),
    ]
    assert found.auroc == pytest.approx(0.85)


def test_telling_sites_apart_buys_a_pooled_figure_but_no_verdict() -> None:
    # Nearly all patients of A are ill and nearly all of B are well; the scores know the site alone.
    by_site = {
        "A": of_scores([0.95] * 20, [0.95] * 180),
        "B": of_scores([0.05] * 180, [0.05] * 20),
    }
    bought = auroc(pooled(by_site.values()))
    assert bought == pytest.approx(0.9)
    found = judged(by_site, None, gate=GATE, noise_multiplier=None, binding=(1, ONE, TWO))
    assert found.outcome == "rejected"
    assert found.reason == "rejected: stratified AUROC 0.500 misses the floor 0.700"


def test_a_class_of_two_patients_is_hardly_ever_given_a_figure_by_noise() -> None:
    generator = np.random.default_rng(5)
    clean = histogram([2] + [0] * 9, [5.3] * 10)
    least = least_class_weight(GATE, bins=10, noise_multiplier=2.0)
    assert least == pytest.approx(10 + 1.645 * 2 * 10**0.5, rel=1e-3)
    given = 0
    for _ in range(1000):
        found = judged(
            {"A": noised(clean, 2.0, generator)},
            None,
            gate=GATE,
            noise_multiplier=2.0,
            binding=(1, ONE, TWO),
        )
        given += found.sites[0].auroc is not None
    assert given < 10


@pytest.mark.parametrize(
    ("burden", "wrongly"), [("accepted", "rejected"), ("candidate", "accepted")]
)
def test_noise_alone_decides_wrongly_no_more_often_than_the_confidence_says(
    burden: str, wrongly: Outcome
) -> None:
    # At the margin itself either burden errs with probability 1 - confidence (the mean alone).
    gate = GATE.model_copy(update={"burden": burden, "margin": 0.05, "site_margin": 1.0})
    generator = np.random.default_rng(6)
    before, after = sites(A=0.75, B=0.7, C=0.65), sites(A=0.7, B=0.65, C=0.6)
    outcomes = [
        judged(
            {name: noised(one, 2.0, generator) for name, one in after.items()},
            {name: noised(one, 2.0, generator) for name, one in before.items()},
            gate=gate,
            noise_multiplier=2.0,
            binding=(1, ONE, TWO),
        ).outcome
        for _ in range(600)
    ]
    assert 0.02 < outcomes.count(wrongly) / 600 < 0.08
