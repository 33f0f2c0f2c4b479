"""Which parts of a plan go together: tables of rules, held when the plan is read.

* A rule is the reason and the test that finds it broken; every broken one is told at once.
* What goes with a protection stands in its own table, schemas.protection.rules.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from schemas.aggregation import least_quorum
from schemas.errors import InputRefused
from schemas.network import EfficientNet, GaborFourier, SegmentationNetwork
from schemas.protection.rules import PROTECTION_RULES

if TYPE_CHECKING:
    from schemas.contract import DataContract
    from schemas.plan import PlanSite, TrainingPlan

Rule: TypeAlias = Callable[["TrainingPlan"], bool]


def broken_rules(plan: "TrainingPlan") -> list[str]:
    """Return the reasons why a plan's parts do not go together; none when they do."""
    return [reason for reason, is_broken in RULES.items() if is_broken(plan)]


def refuse_unlike(plan: "TrainingPlan", contract: "DataContract") -> None:
    """Refuse a plan whose network cannot learn what its contract's cohorts hold.

    Raises:
        InputRefused: it segments, and the contract has no masks; the contract makes colour, or
            volumes that the network or its training does not take.
    """
    _refuse_shape(plan, contract)
    if plan.metric == "dice" and contract.labels.mask is None:
        message = (
            f"plan refused: its network {plan.network.kind} segments, and contract {contract.id} "
            "has no masks, which are needed"
        )
        raise InputRefused(
            message, next_step="add [labels.mask] to the contract, or name a classifier"
        )


def _refuse_shape(plan: "TrainingPlan", contract: "DataContract") -> None:
    """Refuse what the contract's recipe makes, where no network or not this one takes it."""
    recipe = contract.preprocessing
    is_volume = recipe.depth is not None
    is_augmented = getattr(plan.local, "augmentation", None) is not None
    for is_so, what, next_step in (
        (
            recipe.channels == "rgb",
            "makes images of three colours, networks take grey ones",
            'set channels = "grey" in the contract',
        ),
        (
            is_volume and isinstance(plan.network, EfficientNet | GaborFourier),
            f"makes volumes, its network {plan.network.kind} takes images",
            "name another network",
        ),
        (
            is_volume and is_augmented,
            "makes volumes, and only images are augmented",
            "leave out [local.augmentation]",
        ),
    ):
        if is_so:
            message = f"plan refused: contract {contract.id} {what}"
            raise InputRefused(message, next_step=next_step)


def _is_private(plan: "TrainingPlan") -> bool:
    return plan.privacy.kind == "patient"


def _training(plan: "TrainingPlan") -> "list[PlanSite]":
    return [one for one in plan.sites if one.role == "trainer"]


def _has_plain_sgd(plan: "TrainingPlan") -> bool:
    """Say whether every local step is the learning rate times a gradient."""
    local = plan.local
    if local.kind == "gradient":
        return True
    return local.optimizer.kind == "sgd" and local.optimizer.momentum == 0


def _has_sgd(plan: "TrainingPlan") -> bool:
    return plan.local.kind == "gradient" or plan.local.optimizer.kind == "sgd"


def _counts_sites_unequally(plan: "TrainingPlan") -> bool:
    weights = {one.weight for one in _training(plan)}
    return plan.aggregation.combiner.kind != "mean" and len(weights) > 1


def _drops(plan: "TrainingPlan") -> bool:
    return getattr(plan.network, "dropout", 0.0) > 0


def _changes_what_features_see(plan: "TrainingPlan") -> bool:
    on_features = isinstance(plan.network, GaborFourier) or plan.trainable == "head"
    augments = getattr(plan.local, "augmentation", None) is not None
    return on_features and (augments or _drops(plan))


def _bounds_scores(plan: "TrainingPlan") -> bool:
    gate, release = plan.gate, plan.release
    return any(
        one is not None
        for one in (
            gate.min_sensitivity,
            gate.max_calibration_error,
            release.min_auroc,
            release.min_sensitivity,
            release.min_specificity,
            release.max_calibration_error,
        )
    )


def _averages_too_late(plan: "TrainingPlan") -> bool:
    since = plan.aggregation.average_from
    return since is not None and since > plan.evaluation.rounds[0]


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "a site is listed twice": lambda plan: (
            len({one.site for one in plan.sites}) != len(plan.sites)
        ),
        "a judged round lies after the last round": lambda plan: (
            plan.evaluation.rounds[-1] > plan.rounds
        ),
        "the quorum is larger than the number of sites that train": lambda plan: (
            plan.participation.quorum > len(plan.trainers)
        ),
        "the gate's min_sites is larger than the number of sites": lambda plan: (
            plan.gate.min_sites > len(plan.sites)
        ),
        "the release's min_sites is larger than the number of sites": lambda plan: (
            plan.release.min_sites > len(plan.sites)
        ),
        "the gate names a site that is not in the plan": lambda plan: (
            not plan.gate.site_margins.keys() <= {one.site for one in plan.sites}
        ),
        "privacy needs local.kind private-steps": lambda plan: (
            _is_private(plan) and plan.local.kind != "private-steps"
        ),
        "local.kind private-steps needs privacy": lambda plan: (
            not _is_private(plan) and plan.local.kind == "private-steps"
        ),
        "privacy needs evaluation.noise_multiplier": lambda plan: (
            _is_private(plan) and plan.evaluation.noise_multiplier is None
        ),
        "evaluation.noise_multiplier needs privacy": lambda plan: (
            not _is_private(plan) and plan.evaluation.noise_multiplier is not None
        ),
        "privacy needs expected_patients of every site that trains": lambda plan: (
            _is_private(plan) and any(one.expected_patients is None for one in _training(plan))
        ),
        "dropout draws are not part of the private mechanism": lambda plan: (
            _is_private(plan) and _drops(plan)
        ),
        "a segmentation has no sensitivity, specificity or calibration to bound, and no AUROC": (
            lambda plan: plan.metric == "dice" and _bounds_scores(plan)
        ),
        "evaluation.protection masked sums scores, and a segmentation has none": lambda plan: (
            plan.metric == "dice" and plan.evaluation.protection == "masked"
        ),
        "release.min_dice needs a segmentation network": lambda plan: (
            plan.metric != "dice" and plan.release.min_dice is not None
        ),
        "trainable head and norm-and-head need a classifier with a trained body": lambda plan: (
            plan.trainable != "all" and isinstance(plan.network, GaborFourier | SegmentationNetwork)
        ),
        "initial.frozen needs trainable head or norm-and-head": lambda plan: (
            plan.trainable == "all" and plan.initial.frozen is not None
        ),
        "what trains on fixed features can neither augment images nor drop": (
            _changes_what_features_see
        ),
        "average_from lies after the first judged round": _averages_too_late,
        "the algorithm is not defined for this local.kind": lambda plan: (
            plan.local.kind not in plan.aggregation.row.local
        ),
        "fedsgd takes one step of plain sgd in a round": lambda plan: (
            plan.aggregation.algorithm == "fedsgd"
            and not (_has_plain_sgd(plan) and getattr(plan.local, "steps", 1) == 1)
        ),
        "scaffold needs sgd without momentum, or its variates are no gradients": lambda plan: (
            plan.aggregation.algorithm == "scaffold" and not _has_plain_sgd(plan)
        ),
        "fednova needs sgd, whose steps it can count": lambda plan: (
            plan.aggregation.algorithm == "fednova" and not _has_sgd(plan)
        ),
        "this combiner counts every site once, so all weights must be equal": (
            _counts_sites_unequally
        ),
        "the quorum is too small for the combiner (median 3, trimmed-mean 2 trim + 1, krum "
        "2 dishonest + 3 and keep + dishonest + 2)": lambda plan: (
            plan.participation.quorum < least_quorum(plan.aggregation.combiner)
        ),
        **PROTECTION_RULES,
    }
)
