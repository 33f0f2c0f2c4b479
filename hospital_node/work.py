"""The work of one request: network, examples and arrays, then training or evaluation.

* Everything that can be refused is refused in `prepared`, before privacy is charged.
* Only the trainable arrays' delta, or one histogram, comes out. A personalised plan's own model
  stays in the home.
* What a run leaves here for its next round stands under run and plan: another plan under the same
  run's name, with other noise or none, finds none of it.
* Networks and features over a cohort are kept warm in the node, by the digests of what made them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hospital_node import personal, variates
from hospital_node.cohort.store import Cohort, open_cohort
from hospital_node.config import run_folder
from hospital_node.models.registry import Network, trainable_layout
from hospital_node.node import Node
from hospital_node.pretrained import network_of
from hospital_node.training import dice, evaluation, local, private, self_test
from hospital_node.training.corrections import Correction, proximal, steered
from hospital_node.training.examples import Examples, examples_of
from hospital_node.training.objective import objective_of
from hospital_node.work_limits import WorkLimits
from schemas.dice import DiceHistogram
from schemas.errors import ArraysRefused, EnvelopeRefused, PeerRefused, PolicyRefused
from schemas.manifest import Part
from schemas.names import Digest
from schemas.plan import (
    Epochs,
    Gradient,
    NoPrivacy,
    PatientPrivacy,
    PlanSite,
    PrivateSteps,
    Steps,
    TrainingPlan,
)
from schemas.plan_rules import refuse_unlike
from schemas.update import EvaluateRequest, Histogram, Request, TrainRequest, VariateRounds
from schemas.wire.arrays import Arrays, decoded, encoded, layout_of


@dataclass(frozen=True, slots=True)
class Own:
    """This site's own arrays in a personalised run, and where they are kept."""

    folder: Path
    state: personal.Personal


@dataclass(frozen=True, slots=True)
class Work:
    """One request's work, ready to start."""

    plan: TrainingPlan
    round: int
    site: PlanSite
    cohort: Cohort
    network: Network
    examples: Examples
    start: Arrays
    limits: WorkLimits
    own: Own | None = None
    """Where a personalised plan trains from its own arrays."""
    control: variates.Variates | None = None
    """Where the algorithm is scaffold."""


def prepared(
    node: Node, request: Request, plan: TrainingPlan, *, body: bytes, limits: WorkLimits
) -> Work:
    """Open cohort and network, read the arrays, and test the privacy mechanism.

    Nothing is learnt from an image.

    Raises:
        EnvelopeRefused: the plan has no such round, or does not judge it.
        CohortRefused: no cohort under this contract, or a changed one.
        ArraysRefused: the arrays, or this site's own ones, do not fit the network.
        InputRefused: the variate that the request names is not here any more.
        PlanNotApproved: the frozen arrays that the plan names are missing, or were changed.
        SelfTestFailed: the mechanism does not keep its bound for this network.
    """
    evaluates = isinstance(request, EvaluateRequest)
    if request.round > plan.rounds or (evaluates and request.round not in plan.evaluation.rounds):
        message = "request refused: the plan does not have or does not judge this round"
        raise EnvelopeRefused(message, next_step="ask the aggregator which plan it runs")
    site = plan.site(node.config.site)
    if site is None or plan.contract.pinned is None:
        message = "plan refused: it does not name this site, or its contract is not pinned"
        raise PolicyRefused(message, next_step="approve a plan that does")
    if site.role == "evaluator" and not evaluates:
        message = "request refused: the plan names this site as an evaluator, which never trains"
        raise EnvelopeRefused(message, next_step="ask the aggregator which plan it runs")
    torch.set_num_threads(limits.threads_of(plan.threads))
    cohort = open_cohort(node.cohort_folder, plan.contract.pinned)
    refuse_unlike(plan, cohort.contract)
    network = _network(node, request.plan, plan, cohort)
    arrays, control = request.parts(body) if isinstance(request, TrainRequest) else (body, b"")
    start = decoded(arrays, trainable_layout(network.module))
    if isinstance(plan.privacy, PatientPrivacy) and not evaluates:
        self_test.check(network, objective_of(plan))
    own = None if evaluates else _own(node, request, plan, start)
    part: Part = "validation" if evaluates else "train"
    examples = _examples(node, network, cohort, part=part, plan=plan)
    trains_from = start if own is None else own.state.own
    work = Work(plan, request.round, site, cohort, network, examples, trains_from, limits, own)
    return _steered(node, request, work, control) if isinstance(request, TrainRequest) else work


def trained(work: Work) -> bytes:
    """Return the encoded delta of one round of local work.

    Raises:
        PeerRefused: it is not finite; the plan's constants do not suit the cohort.
    """
    plan = work.plan
    match plan.local, plan.privacy:
        case PrivateSteps() as steps, PatientPrivacy() as privacy:
            delta = private.trained_privately(
                work.network,
                work.examples,
                start=work.start,
                mechanism=private.Mechanism(
                    privacy, steps, work.site.expected_patients or 0.0, _correction(work)
                ),
                objective=objective_of(plan),
            )
        case (Epochs() | Steps() | Gradient()) as plain, NoPrivacy():
            delta = _trained_plainly(work, plain)
        case _:
            message = "plan refused: its local work and its privacy do not go together"
            raise PolicyRefused(message, next_step="approve a plan whose parts fit")
    try:
        body = encoded(delta, layout_of(delta))
    except ArraysRefused:
        message = "round refused: training gave values that are not finite, only finite ones leave"
        next_step = "tell the study lead; a smaller learning rate may mend it"
        raise PeerRefused(message, next_step=next_step) from None
    if work.own is not None:
        rule = plan.aggregation
        personal.keep(work.own.folder, personal.ended(work.own.state, delta, rule=rule), rule=rule)
    if work.control is not None:
        distance = plan.local_distance(work.round)
        variates.keep(work.control, delta, round_number=work.round, distance=distance)
    return body


def _trained_plainly(work: Work, plain: local.Plain) -> dict[str, NDArray[np.float32]]:
    plan = work.plan
    pace = local.Pace(
        work.round, plan.rounds, work.site.site, _correction(work), objective_of(plan)
    )
    delta = local.trained(work.network, work.examples, start=work.start, work=plain, pace=pace)
    effective = plan.aggregation.effective_steps
    if effective is None or isinstance(plain, Gradient):
        return delta
    return local.normalised(delta, plain, images=len(work.examples), effective=effective)


def _correction(work: Work) -> Correction | None:
    """Return what the plan's algorithm adds to each gradient."""
    if work.control is not None:
        return steered(work.control.offset)
    mu = work.plan.aggregation.proximal
    return None if mu is None else proximal(work.start, mu)


def evaluated(work: Work) -> Histogram | DiceHistogram:
    """Return the validation patients' histogram under the received arrays, noised as planned."""
    rules = work.plan.evaluation
    scores = evaluation.scores(work.network, work.examples, arrays=work.start)
    if work.plan.metric == "dice":
        patients = dice.of_patients(scores, work.examples, threshold=work.plan.gate.threshold)
        return dice.dice_histogram(
            patients, bins=rules.bins, noise_multiplier=rules.noise_multiplier
        )
    return evaluation.histogram(
        scores, work.examples, bins=rules.bins, noise_multiplier=rules.noise_multiplier
    )


def _own(node: Node, request: Request, plan: TrainingPlan, received: Arrays) -> Own | None:
    """Bring this site's own arrays up to this round; None where the plan has none."""
    if plan.aggregation.personalisation is None:
        return None
    folder = node.home.personal / run_folder(request.run, request.plan)
    before = personal.state_before(folder, request.round)
    state = personal.begun(before, received, round_number=request.round, rule=plan.aggregation)
    return Own(folder, state)


def _steered(node: Node, request: TrainRequest, work: Work, control: bytes) -> Work:
    """Bring in the variates that a scaffold request names."""
    if work.plan.aggregation.algorithm != "scaffold":
        return work
    common = decoded(control, layout_of(work.start)) if control else None
    rounds = request.variates.get(work.site.site, VariateRounds())
    folder = node.home.variates / run_folder(request.run, request.plan)
    return replace(work, control=variates.opened(folder, rounds, common=common, like=work.start))


def _network(node: Node, named: Digest, plan: TrainingPlan, cohort: Cohort) -> Network:
    """Build the plan's network, once."""
    key = f"network {named}"
    network = node.warm.get(key)
    if not isinstance(network, Network):
        network = network_of(node.home, plan, cohort.contract.preprocessing)
        node.warm[key] = network
    return network


def _examples(
    node: Node, network: Network, cohort: Cohort, *, part: Part, plan: TrainingPlan
) -> Examples:
    """Apply the network's fixed features to a part of the cohort, once."""
    key = f"examples {network.name} {cohort.digest} {part}"
    examples = node.warm.get(key)
    if not isinstance(examples, Examples):
        examples = examples_of(
            network,
            cohort.pixels[cohort.rows(part)],
            labels=cohort.targets(part) if plan.metric == "dice" else cohort.labels(part),
            patients=cohort.patients(part),
        )
        node.warm[key] = examples
    return examples
