"""The terms of one attempt: what both sides hold each other to, from the plan and never a message.

* Sites, their numbers, threshold, least survivors and ring follow from the plan alone; a node adds
  its own policy's least number of survivors.
"""

from dataclasses import dataclass
from typing import assert_never

from schemas.names import SiteName
from schemas.plan import TrainingPlan
from schemas.protection.fixed_point import Ring, ring_for
from schemas.protection.messages import Context, Purpose
from schemas.protection.settings import (
    LEAST_SURVIVORS,
    Encrypted,
    Masked,
    Open,
    least_survivors,
    threshold,
)
from schemas.update import RESOLUTION_BITS

LARGEST_COUNT = 2 ** (RESOLUTION_BITS + 30)
"""A billion patients in one bin, as good as any figure that cannot be meant."""

COUNTS = Ring(bits=64, fraction_bits=0, bound=float(LARGEST_COUNT))
"""The ring of histograms: 2^13 sites of the largest counts still do not wrap."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an attempt needs, and what it is about."""

    context: Context
    sites: tuple[SiteName, ...]
    """All that the plan asks, in name order: a site's number is its place, from 1."""
    threshold: int
    """Shares that give a secret back, and agreements that an unmasking needs."""
    least: int
    """Fewest sites that may be summed."""
    ring: Ring

    @property
    def bound_bytes(self) -> bytes:
        """The context's bytes, which enter every key."""
        return self.context.canonical()

    def number(self, site: SiteName) -> int:
        """Return a site's number; ValueError for one that the plan does not ask."""
        return self.sites.index(site) + 1

    def adds(self, site: SiteName, other: SiteName) -> bool:
        """Say whether a site adds the mask that it shares with another, which then takes it off."""
        return self.number(site) < self.number(other)


def is_summed(plan: TrainingPlan, purpose: Purpose) -> bool:
    """Say whether what this purpose makes stays at its site, and is only given to a sum."""
    if purpose == "evaluate":
        return plan.evaluation.protection == "masked"
    match plan.protection:
        case Open():
            return False
        case Masked() | Encrypted():
            return True
        case _:
            assert_never(plan.protection)


def terms_of(plan: TrainingPlan, context: Context, *, least: int = LEAST_SURVIVORS) -> Terms:
    """Return an attempt's terms; `least` is a node's own least number of survivors.

    Raises:
        ValueError: the plan masks nothing of this purpose.
    """
    if context.purpose == "train":
        sites, quorum, ring = plan.trainers, plan.participation.quorum, delta_ring(plan)
    else:
        if plan.evaluation.protection != "masked":
            message = "the plan does not mask its histograms"
            raise ValueError(message)
        sites, quorum = tuple(sorted(one.site for one in plan.sites)), 1
        ring = COUNTS
    return Terms(
        context=context,
        sites=sites,
        threshold=threshold(len(sites)),
        least=max(least_survivors(len(sites)), quorum, least),
        ring=ring,
    )


def delta_ring(plan: TrainingPlan) -> Ring:
    """Return the ring of a plan's deltas; ValueError where each is open."""
    bound = plan.update_gate.max_norm
    if isinstance(plan.protection, Open) or bound is None:
        message = "the plan opens each update, and no sum"
        raise ValueError(message)
    return ring_for(bound, plan.protection.fraction_bits, sites=len(plan.trainers))


def share_of(plan: TrainingPlan, *sites: SiteName) -> float:
    """Return the share of all trainers' weight that these sites have: what they encode with."""
    whole = sum(one.weight for one in plan.sites if one.role == "trainer")
    return sum(one.weight for one in plan.sites if one.site in sites) / whole
