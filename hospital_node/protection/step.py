"""One exchange at this site, and what every step of masking or encryption needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hospital_node.node import Node
from hospital_node.protection.room import Room
from hospital_node.protection.sites import refused
from schemas.enrolment import Roster
from schemas.names import SiteName
from schemas.plan import TrainingPlan
from schemas.protection.messages import ExchangeReply, ExchangeRequest
from schemas.protection.terms import Terms
from schemas.wire.envelope import opened

R = TypeVar("R", bound=ExchangeReply)


@dataclass(frozen=True, slots=True)
class Step:
    """One exchange at this site."""

    node: Node
    request: ExchangeRequest
    parts: list[bytes]
    """What came beside the request."""
    plan: TrainingPlan
    terms: Terms
    room: Room
    roster: Roster

    @property
    def site(self) -> SiteName:
        """This site."""
        return self.node.config.site

    @property
    def bound(self) -> dict[str, Any]:
        """What every reply is bound to."""
        fields = {"federation", "run", "plan", "round", "request", "purpose", "model", "attempt"}
        head = self.node.journal.head()
        return {**self.request.model_dump(include=fields), "site": self.site, "head": head}


def verified_words(step: Step, sites: Sequence[SiteName], kind: type[R]) -> list[R]:
    """Open each site's envelope under its roster key, and hold it against this attempt.

    Raises:
        EnvelopeRefused: one is missing, twice there, of another site or attempt, or not signed.
    """
    if len(set(sites)) != len(sites) or len(sites) != len(step.parts):
        raise refused("what came is not one signed word of each site")
    named = zip(sites, step.parts, strict=True)
    return [verified(step, site, envelope, kind) for site, envelope in named]


def verified(step: Step, site: SiteName, envelope: bytes, kind: type[R]) -> R:
    """Open what a site signed for this attempt.

    Raises:
        EnvelopeRefused: of another site or attempt, or not signed by it.
    """
    member = step.roster.member(site)
    if member is None:
        raise refused(f"{site} is not in the roster")
    one = opened(envelope, kind, key=member.key)
    if (one.site, one.context) != (site, step.terms.context):
        raise refused(f"what came of {site} is of another site or attempt")
    return one
