"""Which parts of a plan go together, and the reason given when they do not."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from schemas.aggregation import ALGORITHMS, Aggregation, CombinerRule, ServerStep
from schemas.contract import MaskRules
from schemas.errors import InputRefused
from schemas.plan import TrainingPlan
from schemas.plan_rules import RULES, refuse_unlike
from schemas.protection.rules import NEEDED
from schemas.protection.settings import EVALUATIONS, PROTECTIONS, EvaluationProtection, Protection
from tests.aggregator.examples import PRIVATE, plan
from tests.hospital_node.cohort.exports import contract

SGD = {"kind": "sgd", "learning_rate": 0.1}
HEAVY = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9}
ADAMW = {"kind": "adamw", "learning_rate": 0.1}
SIX = tuple({"site": one} for one in "ABCDEF")
SIX_OF_SIX = {"sites": SIX, "participation": {"quorum": 6}}

ADAPTIVE = {"second_momentum": 0.99, "adaptivity": 1e-3}


def steps(optimizer: dict[str, Any] = SGD, **changes: Any) -> dict[str, Any]:
    return {"kind": "steps", "steps": 4, "batch_images": 8, "optimizer": optimizer} | changes


def epochs(optimizer: dict[str, Any] = SGD) -> dict[str, Any]:
    return {"kind": "epochs", "epochs": 1, "batch_images": 8, "optimizer": optimizer}


HOLDS: dict[str, dict[str, Any]] = {
    "fedsgd": {"local": {"kind": "gradient"}, "aggregation": {"algorithm": "fedsgd"}},
    "fedsgd under privacy": PRIVATE
    | {
        "local": {"kind": "private-steps", "steps": 1, "optimizer": SGD},
        "aggregation": {"algorithm": "fedsgd"},
    },
    "fedavg with the median": {
        "aggregation": {"combiner": {"kind": "median"}},
        "participation": {"quorum": 3},
    },
    "fedprox under privacy": PRIVATE | {"aggregation": {"algorithm": "fedprox", "proximal": 0.1}},
    "fedadagrad": {"aggregation": {"algorithm": "fedadagrad", "adaptivity": 1e-3}},
    "fedadam without a first moment": {"aggregation": {"algorithm": "fedadam", **ADAPTIVE}},
    "fedyogi": {"aggregation": {"algorithm": "fedyogi", "momentum": 0.9, **ADAPTIVE}},
    "scaffold": {"local": steps(), "aggregation": {"algorithm": "scaffold"}},
    "scaffold under privacy": PRIVATE | {"aggregation": {"algorithm": "scaffold"}},
    "fednova": {
        "local": epochs(HEAVY),
        "aggregation": {"algorithm": "fednova", "effective_steps": 5.0},
    },
    "krum of six": {
        "aggregation": {"combiner": {"kind": "krum", "dishonest": 1, "keep": 3}},
        **SIX_OF_SIX,
    },
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "fedadam without its settings": (
        {"aggregation": {"algorithm": "fedadam"}},
        "fedadam needs second_momentum above 0; fedadam needs adaptivity above 0",
    ),
    "fedprox without mu": (
        {"aggregation": {"algorithm": "fedprox"}},
        "fedprox needs proximal above 0",
    ),
    "fedavg with mu": ({"aggregation": {"proximal": 0.1}}, "fedavg has no proximal"),
    "scaffold with a median": (
        {"aggregation": {"algorithm": "scaffold", "combiner": {"kind": "median"}}},
        "scaffold is defined for the combiner mean only",
    ),
    "scaffold with personal models": (
        {"aggregation": {"algorithm": "scaffold", "personalisation": {}}},
        "personalisation needs fedavg or fedavgm and the combiner mean",
    ),
    "personal models with a median": (
        {"aggregation": {"combiner": {"kind": "median"}, "personalisation": {}}},
        "personalisation needs fedavg or fedavgm and the combiner mean",
    ),
    "scaffold with passes": (
        {"local": epochs(), "aggregation": {"algorithm": "scaffold"}},
        "the algorithm is not defined for this local.kind",
    ),
    "scaffold with momentum": (
        {"local": steps(HEAVY), "aggregation": {"algorithm": "scaffold"}},
        "scaffold needs sgd without momentum, or its variates are no gradients",
    ),
    "scaffold with adamw": (
        {"local": steps(ADAMW), "aggregation": {"algorithm": "scaffold"}},
        "scaffold needs sgd without momentum, or its variates are no gradients",
    ),
    "fedavg of gradients": (
        {"local": {"kind": "gradient"}},
        "the algorithm is not defined for this local.kind",
    ),
    "gradients under privacy": (
        PRIVATE | {"local": {"kind": "gradient"}, "aggregation": {"algorithm": "fedsgd"}},
        "privacy needs local.kind private-steps",
    ),
    "fedsgd of two private steps": (
        PRIVATE | {"aggregation": {"algorithm": "fedsgd"}},
        "fedsgd takes one step of plain sgd in a round",
    ),
    "fednova with adamw": (
        {
            "local": epochs(ADAMW),
            "aggregation": {"algorithm": "fednova", "effective_steps": 5.0},
        },
        "fednova needs sgd, whose steps it can count",
    ),
    "fednova under privacy": (
        PRIVATE | {"aggregation": {"algorithm": "fednova", "effective_steps": 5.0}},
        "the algorithm is not defined for this local.kind",
    ),
    "a median of two": (
        {"aggregation": {"combiner": {"kind": "median"}}},
        "the quorum is too small for the combiner",
    ),
    "a trim that may leave nothing": (
        {"aggregation": {"combiner": {"kind": "trimmed-mean", "trim": 3}}, **SIX_OF_SIX},
        "the quorum is too small for the combiner",
    ),
    "krum with too many dishonest sites": (
        {"aggregation": {"combiner": {"kind": "krum", "dishonest": 2}}, **SIX_OF_SIX},
        "the quorum is too small for the combiner",
    ),
    "krum that keeps too many": (
        {"aggregation": {"combiner": {"kind": "krum", "dishonest": 1, "keep": 4}}, **SIX_OF_SIX},
        "the quorum is too small for the combiner",
    ),
    "a segmentation with a bound on sensitivity": (
        {"network": {"kind": "unet"}, "gate": {"min_sensitivity": 0.8}},
        "a segmentation has no sensitivity, specificity or calibration to bound, and no AUROC",
    ),
    "a segmentation released by AUROC": (
        {"network": {"kind": "unet"}, "release": {"min_auroc": 0.8}},
        "a segmentation has no sensitivity, specificity or calibration to bound, and no AUROC",
    ),
    "a segmentation whose evaluation is masked": (
        {
            "network": {"kind": "unet"},
            "evaluation": {"rounds": (1,), "protection": "masked"},
        },
        "evaluation.protection masked sums scores, and a segmentation has none",
    ),
    "a classifier released by Dice": (
        {"release": {"min_dice": 0.5}},
        "release.min_dice needs a segmentation network",
    ),
    "weights that a median would ignore": (
        {
            "aggregation": {"combiner": {"kind": "median"}},
            "sites": ({"site": "A"}, {"site": "B"}, {"site": "C", "weight": 2.0}),
            "participation": {"quorum": 3},
        },
        "this combiner counts every site once, so all weights must be equal",
    ),
}


@pytest.mark.parametrize("changes", HOLDS.values(), ids=HOLDS)
def test_it_is_read_and_written_again(changes: dict[str, Any]) -> None:
    found = plan(**changes)
    assert TrainingPlan.from_canonical(found.canonical()) == found


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        plan(**changes)
    assert reason in str(refused.value)


def test_the_tables_know_every_name_that_a_plan_can_say() -> None:
    assert sorted(ALGORITHMS) == sorted(get_args(Aggregation.model_fields["algorithm"].annotation))
    assert {row.server for row in ALGORITHMS.values()} == set(get_args(ServerStep))
    assert _kinds(CombinerRule) == set(NEEDED)
    assert _kinds(Protection) == set(PROTECTIONS)
    assert set(get_args(EvaluationProtection)) == set(EVALUATIONS)


def _kinds(union: Any) -> set[str]:
    return {one.model_fields["kind"].default for one in get_args(get_args(union)[0])}


def test_no_reason_stands_twice_and_each_is_a_line() -> None:
    assert len({reason.casefold() for reason in RULES}) == len(RULES)
    assert all("\n" not in reason for reason in RULES)


def test_a_plan_over_colour_is_refused() -> None:
    recipe = contract().preprocessing.model_copy(update={"channels": "rgb"})
    with pytest.raises(InputRefused) as refused:
        refuse_unlike(plan(), contract().model_copy(update={"preprocessing": recipe}))
    assert refused.value.message == (
        "plan refused: contract small makes images of three colours, networks take grey ones"
    )


def test_a_segmentation_needs_a_contract_with_masks() -> None:
    agreed = contract()
    found = plan(network={"kind": "unet"})
    with pytest.raises(InputRefused) as refused:
        refuse_unlike(found, agreed)
    assert refused.value.message == (
        "plan refused: its network unet segments, and contract small has no masks, which are needed"
    )
    with_masks = agreed.labels.model_copy(update={"mask": MaskRules()})
    refuse_unlike(found, agreed.model_copy(update={"labels": with_masks}))
    refuse_unlike(plan(), agreed.model_copy(update={"labels": with_masks}))
    refuse_unlike(plan(), agreed)
