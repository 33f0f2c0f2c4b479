"""The table of rules: protection x combiner x gate x evaluation x privacy x number of sites.

* Each rule is the reason and the test that finds it broken; all are held when a plan is read.
* A plan has one group, all its sites, and every site is in every sum: there is no way to write
  overlapping groups, or all but one.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from schemas.aggregation import UpdateGate
from schemas.network import GaborFourier
from schemas.protection.ciphertexts import EXACTNESS, error
from schemas.protection.fixed_point import OverflowingRing, ring_for
from schemas.protection.settings import (
    EVALUATIONS,
    LEAST_SURVIVORS,
    PROTECTIONS,
    SUM,
    Encrypted,
    Open,
    ProtectionRow,
    Sight,
)

if TYPE_CHECKING:
    from schemas.plan import TrainingPlan

NEEDED: Mapping[str, Sight] = MappingProxyType(
    {"mean": "sum", "median": "each", "trimmed-mean": "each", "krum": "each"}
)
"""What the aggregator must see, by combiner."""

LARGEST_SHARE = 0.9
"""Of the weights, for one site: the others' updates are all that hides its own in a sum."""

LEAST_BITS = 16
"""A site's update as long as the bound, spread over 2^20 values, still has 2^6 steps in each."""

Rule: TypeAlias = Callable[["TrainingPlan"], bool]


def _row(plan: "TrainingPlan") -> ProtectionRow:
    return PROTECTIONS[plan.protection.kind]


def _shows_each_update(plan: "TrainingPlan") -> bool:
    return "each" in _row(plan).shows


def _shows_each_histogram(plan: "TrainingPlan") -> bool:
    return EVALUATIONS[plan.evaluation.protection] == "each"


def _compares_updates(plan: "TrainingPlan") -> bool:
    """Say whether the update gate's comparisons are set to anything but their defaults."""
    return plan.update_gate.model_copy(update={"max_norm": None}) != UpdateGate()


def _overflows(plan: "TrainingPlan") -> bool:
    bound = plan.update_gate.max_norm
    if isinstance(plan.protection, Open) or bound is None:
        return False
    try:
        ring_for(bound, plan.protection.fraction_bits, sites=len(plan.trainers))
    except OverflowingRing:
        return True
    return False


def _shares(plan: "TrainingPlan") -> list[float]:
    weights = [one.weight for one in plan.sites if one.role == "trainer"]
    return [one / sum(weights) for one in weights]


def _dwarfs(plan: "TrainingPlan") -> bool:
    """Say whether a sum would be one site's update, but for little."""
    return not _shows_each_update(plan) and max(_shares(plan), default=0.0) > LARGEST_SHARE


def _vanishes(plan: "TrainingPlan") -> bool:
    """Say whether the update of some site would be lost in the rounding."""
    bound = plan.update_gate.max_norm
    if isinstance(plan.protection, Open) or bound is None:
        return False
    steps = math.ldexp(min(_shares(plan), default=1.0) * bound, plan.protection.fraction_bits)
    return steps < math.ldexp(1.0, LEAST_BITS)


def _is_too_fine(plan: "TrainingPlan") -> bool:
    """Say whether opened sums would show the error of the encryption, which tells its key."""
    bound = plan.update_gate.max_norm
    if not isinstance(plan.protection, Encrypted) or bound is None:
        return False
    step = math.ldexp(1.0, -plan.protection.fraction_bits)
    return step < EXACTNESS * error(bound, sites=len(plan.trainers))


def _is_large(plan: "TrainingPlan") -> bool:
    return plan.trainable != "head" and not isinstance(plan.network, GaborFourier)


def _judges_sites(plan: "TrainingPlan") -> bool:
    """Say whether the gate or the release asks for anything at one site."""
    least = (plan.gate.min_sites, plan.release.min_sites)
    return bool(plan.gate.site_margins) or any(one > 1 for one in least)


PROTECTION_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "the combiner must see each update, and the protection shows only their sum": lambda plan: (
            NEEDED[plan.aggregation.combiner.kind] not in _row(plan).shows
        ),
        "the protection shows a sum, which tells each part unless three sites train": lambda plan: (
            not _shows_each_update(plan) and len(plan.trainers) < LEAST_SURVIVORS
        ),
        "the quorum is under the protection's threshold, floor(2 n / 3) + 1 of the n sites that "
        "train and at least three": lambda plan: (
            plan.participation.quorum < _row(plan).least_quorum(len(plan.trainers))
        ),
        "the protection encodes values within a bound, so update_gate.max_norm is needed": (
            lambda plan: _row(plan).is_bounded and plan.update_gate.max_norm is None
        ),
        "update_gate.max_norm times 2^fraction_bits overflows the largest ring, 2^64": _overflows,
        "the weight of one site is over nine tenths of all, so a sum would be its update": _dwarfs,
        "the update of the site with the least weight would be lost in the fixed point: its share "
        "of the weights times max_norm is under 2^16 steps of 2^-fraction_bits": _vanishes,
        "the sum would leave finer than encryption is exact: a step of 2^-fraction_bits must be a "
        "thousand times the error, which grows with the sites and max_norm": _is_too_fine,
        "the update gate compares updates, and the protection shows only their sum: leave out "
        "max_norm_ratio, least_cosine and opposed_norm_ratio": lambda plan: (
            not _shows_each_update(plan) and _compares_updates(plan)
        ),
        "encryption needs privacy, since any one site can open each update that it is handed": (
            lambda plan: _row(plan).needs_privacy and plan.privacy.kind != "patient"
        ),
        "encryption is for small models: trainable head, or the network gabor-fourier": (
            lambda plan: _row(plan).is_small and _is_large(plan)
        ),
        "masked evaluation shows a sum, which tells each part unless three sites answer": (
            lambda plan: not _shows_each_histogram(plan) and len(plan.sites) < LEAST_SURVIVORS
        ),
        "masked evaluation shows no figures of a site: leave out site_margins and min_sites": (
            lambda plan: not _shows_each_histogram(plan) and _judges_sites(plan)
        ),
        "under masked evaluation the name sum is the sum's, and no site can have it": lambda plan: (
            not _shows_each_histogram(plan) and any(one.site == SUM for one in plan.sites)
        ),
    }
)
