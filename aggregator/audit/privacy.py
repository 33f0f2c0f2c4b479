"""The privacy statement of a run, in the order of NIST SP 800-226.

* Every sentence follows from the plan and the sites' statements; none is a promise of this page.
"""

import math
from collections.abc import Sequence
from typing import assert_never

from aggregator.audit.reading import Reading
from aggregator.audit.records import PrivacySection, SiteSpend
from aggregator.audit.spending import highest, spends
from aggregator.audit.visibility import visibility
from schemas.plan import NoPrivacy, PatientPrivacy, TrainingPlan

_OUTSIDE = (
    "releases of plans without privacy: no epsilon counts them, and nothing bounds what they tell",
    "participation: that a site has joined, is named in the plan, was asked and answered",
    "timing: when a reply came, how long it took and how large it was",
    "refusals: that a site refused, its coarse code, and that a reply was missing or quarantined",
    "unfit cohorts: the refusal cohort-unfit depends on the data",
    "what is declared in public: weights, expected patients and sampling rates of the plan",
    "conformance: that a site answered, or reports, hence whether its cohort meets the contract",
    "journals: a site's events leave, such as that a cohort conforms, and each image's review",
    "identical images: one that two patients have is left out of both, so one may cost the other",
    "people: what anyone who may read a hospital's data says or does outside this software",
    "a hospital's own files: its home holds preprocessed images",
    "patients of several sites: each epsilon counts one site's releases, and they add up",
)
_NONE = "none: the plan has no privacy"


def privacy_section(source: Reading, plan: TrainingPlan) -> PrivacySection:
    """State unit, neighbours, spend, mechanism, sampling, accountant and limits."""
    rows = spends(source, plan)
    seen = visibility(source, plan)
    match plan.privacy:
        case NoPrivacy():
            return _without_privacy(rows, seen=seen)
        case PatientPrivacy():
            return _patient_level(plan, plan.privacy, rows, seen=seen)
        case _:
            assert_never(plan.privacy)


def _without_privacy(rows: tuple[SiteSpend, ...], *, seen: str) -> PrivacySection:
    return PrivacySection(
        is_private=False,
        summary="No differential privacy. The plan says that privacy is none: updates and "
        "evaluation histograms left the sites without noise, no epsilon can be stated, and "
        "nothing bounds what they reveal of a single patient.",
        unit=_NONE,
        adjacency=_NONE,
        spends=rows,
        mechanism=_NONE,
        train=None,
        evaluation=None,
        sampling=_NONE,
        accountant=_NONE,
        visibility=seen,
        outside=("everything: there is no guarantee that anything could be inside", *_OUTSIDE),
    )


def _counted(plan: TrainingPlan) -> str:
    return "patients' Dice coefficients" if plan.metric == "dice" else "scores by class"


def _patient_level(
    plan: TrainingPlan, privacy: PatientPrivacy, rows: tuple[SiteSpend, ...], *, seen: str
) -> PrivacySection:
    return PrivacySection(
        is_private=True,
        summary=_meaning(rows),
        unit="the patient, with all images of the patient",
        adjacency="adding or removing one patient",
        spends=rows,
        mechanism="Training: DP-SGD. A patient's image gradients are averaged and clipped once to "
        f"L2 norm {privacy.max_norm:g}; Gaussian noise of {privacy.noise_multiplier:g} times that "
        f"bound is added to each step's sum. Evaluation: one histogram of {_counted(plan)}, in "
        "which a patient weighs 1 in all, with Gaussian noise of standard deviation "
        f"{plan.evaluation.noise_multiplier or 0:g}.",
        train=plan.train_event(),
        evaluation=plan.evaluation_event(),
        sampling="Training: each step draws every train patient independently (Poisson) with "
        f"probability {privacy.sampling_rate:g}, a constant of the plan. Evaluation: every "
        "validation patient. A patient is in one part only, so the two parts compose in parallel.",
        accountant="Google's dp-accounting. Enforced: Renyi accounting (RDP), over every charged "
        "release ever made from the site's patients; it holds when plans are chosen in view of "
        "earlier results. Beside it: privacy loss distributions (PLD), tighter, if the sequence of "
        "releases was fixed beforehand.",
        visibility=seen,
        outside=_outside(plan),
    )


def _outside(plan: TrainingPlan) -> tuple[str, ...]:
    """Add to what is always outside what a plan brought with it."""
    if plan.initial.pretrained is None:
        return _OUTSIDE
    weights = (
        f"pretrained weights: the plan starts from the file {plan.initial.pretrained}; what it "
        "tells of the patients whom it was made from is taken as public"
    )
    return (*_OUTSIDE, weights)


def _meaning(rows: Sequence[SiteSpend]) -> str:
    """Say in words what the largest epsilon bounds."""
    most = highest(rows)
    if most is None or most.spent is None:
        return "No site has released anything in this run, so there is no epsilon to state yet."
    return (
        f"Whatever anyone computes from all charged releases of {most.site}'s {most.part} "
        f"patients, in this run and in all others, becomes at most {_factor(most.spent.rdp)} times "
        "as likely, or as unlikely, when one patient is added or removed "
        f"(epsilon {most.spent.rdp:.3f}), plus an additive {most.spent.delta:g} (delta). "
        "No other site of this run stated a larger epsilon."
    )


def _factor(epsilon: float) -> str:
    return f"{math.exp(epsilon):,.1f}" if epsilon < math.log(1e6) else "more than a million"
