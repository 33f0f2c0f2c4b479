"""What came of a run, as one JSON object and as tables.

* `auroc` is what the sites released; `auroc_exact` is computed here from the homes' own data,
  outside the protocol, by someone who owns them all, as in a demo. It is never released.
* A figure is undefined (None) when a class holds too few patients for one.
* A run's figures are those of its accepted model; pooled figures are over all sites, and a model
  that tells sites of differing prevalence apart gains in them, so the gate uses the stratified
  ones.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregator.gates.metrics import auroc, pooled
from aggregator.gates.model_gate import site_metrics
from aggregator.run_state import RunState
from hospital_node import personal
from hospital_node.cohort.store import open_cohort
from hospital_node.config import run_folder
from hospital_node.models.registry import trainable_layout
from hospital_node.node import Node
from hospital_node.policy import load_policy
from hospital_node.pretrained import network_of
from hospital_node.privacy.ledger import Ledger
from hospital_node.training.evaluation import scores
from hospital_node.training.examples import examples_of
from schemas.audit.events import AuditEvent, RoundMoved, VerdictGiven
from schemas.base import Record
from schemas.errors import CohortRefused
from schemas.gate import Verdict
from schemas.names import Moment, Name, SiteName
from schemas.plan import NoPrivacy, TrainingPlan
from schemas.update import Histogram
from schemas.wire.arrays import decoded

RoundVerdict: TypeAlias = Literal[
    "accepted", "rejected", "inconclusive", "provisional", "abandoned"
]

_ROUNDING = 1e-9

ENDS: Mapping[str, RoundVerdict] = {
    "accepted": "accepted",
    "rolled-back": "rejected",
    "provisional": "provisional",
    "abandoned": "abandoned",
}
"""The phases that end a round, and what each means for its candidate."""


class SiteOutcome(Record):
    """One site's figures."""

    site: SiteName
    patients: int | None
    epsilon: float | None
    """Of the site's ledger over everything it ever released; None for a plan without privacy."""
    delta: float | None
    auroc: float | None
    auroc_exact: float | None


class RoundOutcome(Record):
    """One round's end."""

    def __str__(self) -> str:
        """Say it in one line."""
        said = self.reason.startswith(self.verdict)
        return f"Round {self.round}: {self.reason if said else f'{self.verdict}, {self.reason}'}"

    round: int
    verdict: RoundVerdict
    reason: str
    auroc: float | None
    """Stratified, as released; None for a round that was not judged."""
    dice: float | None = None
    """As AUROC, of a segmentation."""
    seconds: float


Scored: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]
"""Labels, scores and patients of a site's validation images."""


def site_outcomes(
    nodes: Mapping[SiteName, Node], plan: TrainingPlan, state: RunState, model: bytes | None
) -> tuple[list[SiteOutcome], float | None]:
    """Return each site's figures under the accepted model, and the exact pooled AUROC."""
    released = {
        one.site: one.auroc
        for one in site_metrics(
            {one.site: one.histogram for one in state.accepted.histograms},
            gate=plan.gate,
            noise_multiplier=plan.evaluation.noise_multiplier,
        )
    }
    outcomes, scored = [], []
    for declared in plan.sites:
        node = nodes.get(declared.site)
        exact = None
        if node is not None and model is not None:
            exact = _scored(node, plan, model)
        if exact is not None:
            scored.append(exact)
        outcomes.append(
            SiteOutcome(
                site=declared.site,
                patients=None if node is None else _patients(node, plan),
                epsilon=None if node is None else _epsilon(node, plan),
                delta=None if isinstance(plan.privacy, NoPrivacy) else plan.privacy.delta,
                auroc=released.get(declared.site),
                auroc_exact=None if exact is None else _defined_auroc(exact, plan),
            )
        )
    if not scored:
        return outcomes, None
    labels = np.concatenate([one[0] for one in scored])
    values = np.concatenate([one[1] for one in scored])
    return outcomes, exact_auroc(labels, values)


def released_auroc(state: RunState) -> float | None:
    """Return the pooled AUROC of the accepted model as the sites released it."""
    found = [one.histogram for one in state.accepted.histograms]
    histograms = [one for one in found if isinstance(one, Histogram)]
    return auroc(pooled(histograms)) if histograms else None


def round_outcomes(events: Iterable[AuditEvent], run: str) -> list[RoundOutcome]:
    """Read each round's end from the aggregator's journal."""
    verdicts: dict[int, Verdict] = {}
    opened: dict[int, Moment] = {}
    ends: dict[int, RoundOutcome] = {}
    for event in events:
        match event.facts:
            case VerdictGiven(run=of, verdict=verdict) if of == run:
                verdicts[verdict.round] = verdict
            case RoundMoved(run=of, round=number, target="opened") if of == run:
                opened[number] = event.time
            case RoundMoved(run=of, round=number, target=target) if of == run and target in ENDS:
                seconds = _seconds(opened.get(number, event.time), event.time)
                ends[number] = _ended(number, ENDS[target], verdicts.get(number), seconds)
    return [ends[number] for number in sorted(ends)]


def exact_auroc(labels: NDArray[np.bool_], values: NDArray[np.float64]) -> float | None:
    """Return the share of pairs in the right order, ties counting half (Hanley and McNeil 1982)."""
    positives, negatives = values[labels], np.sort(values[~labels])
    if not len(positives) or not len(negatives):
        return None
    below = np.searchsorted(negatives, positives, side="left")
    up_to = np.searchsorted(negatives, positives, side="right")
    return float((below + up_to).sum() / (2 * len(positives) * len(negatives)))


def exact_site_auroc(node: Node, plan: TrainingPlan, model: bytes) -> float | None:
    """Return the exact AUROC of one site's validation images; None where it is undefined."""
    scored = _scored(node, plan, model)
    return None if scored is None else _defined_auroc(scored, plan)


def personal_model(node: Node, run: Name, plan: TrainingPlan) -> bytes | None:
    """Read a site's own model of a personalised run, which never leaves it; None without one."""
    path = node.home.personal / run_folder(run, plan.digest) / personal.MODEL
    return path.read_bytes() if path.exists() else None


def undefined_reasons(nodes: Mapping[SiteName, Node], plan: TrainingPlan) -> list[str]:
    """Say for each site without an exact AUROC which class of its validation part is too small."""
    said = []
    for site, node in nodes.items():
        try:
            cohort = open_cohort(node.cohort_folder, plan.contract.pinned or "")
        except CohortRefused:
            continue
        labels, patients = cohort.labels("validation"), cohort.patients("validation")
        weights = _class_weights(labels == 1, patients)
        for index, meant in enumerate(cohort.contract.labels.classes):
            if weights[index] < plan.gate.site_min_class_weight - _ROUNDING:
                said.append(
                    f"{site}: AUROC is undefined: its validation part has "
                    f"{(labels == index).sum()} images of '{meant.meaning}', which weigh "
                    f"{weights[index]:.1f} patients; a figure needs "
                    f"{plan.gate.site_min_class_weight:g}"
                )
    return said


def _class_weights(labels: NDArray[np.bool_], patients: NDArray[np.int64]) -> tuple[float, float]:
    """Return the patients of both classes; a patient weighs 1 in all, each image its share."""
    share = 1.0 / np.bincount(patients, minlength=1)[patients]
    return float(share[~labels].sum()), float(share[labels].sum())


def _ended(
    number: int, outcome: RoundVerdict, verdict: Verdict | None, seconds: float
) -> RoundOutcome:
    if verdict is None:
        reason = "too few usable updates" if outcome == "abandoned" else "not judged by the plan"
        return RoundOutcome(
            round=number, verdict=outcome, reason=reason, auroc=None, seconds=seconds
        )
    inconclusive = verdict.outcome == "inconclusive"
    return RoundOutcome(
        round=number,
        verdict="inconclusive" if inconclusive else outcome,
        reason=verdict.reason,
        auroc=verdict.auroc,
        dice=verdict.dice,
        seconds=seconds,
    )


def _scored(node: Node, plan: TrainingPlan, model: bytes) -> Scored | None:
    """Score a site's validation images with its own copy of the network."""
    try:
        cohort = open_cohort(node.cohort_folder, plan.contract.pinned or "")
    except CohortRefused:
        return None
    network = network_of(node.home, plan, cohort.contract.preprocessing)
    rows = cohort.rows("validation")
    labels, patients = cohort.labels("validation"), cohort.patients("validation")
    examples = examples_of(network, cohort.pixels[rows], labels=labels, patients=patients)
    arrays = decoded(model, trainable_layout(network.module))
    return labels == 1, scores(network, examples, arrays), patients


def _defined_auroc(scored: Scored, plan: TrainingPlan) -> float | None:
    """Return a site's exact AUROC; None when a class weighs too few patients."""
    labels, values, patients = scored
    if min(_class_weights(labels, patients)) < plan.gate.site_min_class_weight - _ROUNDING:
        return None
    return exact_auroc(labels, values)


def _patients(node: Node, plan: TrainingPlan) -> int | None:
    try:
        return open_cohort(node.cohort_folder, plan.contract.pinned or "").manifest.patients()
    except CohortRefused:
        return None


def _epsilon(node: Node, plan: TrainingPlan) -> float | None:
    if isinstance(plan.privacy, NoPrivacy):
        return None
    delta = load_policy(node.home).limit.delta
    with Ledger(node.home.ledger) as ledger:
        return max(ledger.spent(part, delta=delta).rdp for part in ("train", "validation"))


def _seconds(start: Moment, end: Moment) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
