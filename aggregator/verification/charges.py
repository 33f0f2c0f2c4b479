"""Epsilon of each site, priced again from its own log, and what its replies stated of it."""

from dataclasses import dataclass, field

from aggregator.verification.story import Story
from schemas import accounting
from schemas.audit.events import Facts, ReplyReceived, ReplySent, RequestSent, Reserved, Settled
from schemas.audit.verification.findings import Findings
from schemas.manifest import Part
from schemas.names import Name, SiteName
from schemas.plan import PatientPrivacy
from schemas.privacy import SampledGaussian, Spend

_TOLERANCE = 1e-6
"""Relative: how far a figure may be from the one computed again, on another machine."""
_ACCOUNT = "The site's account does not follow from its own log."


def epsilon_again(
    story: Story, site: SiteName, origin: str, findings: Findings
) -> dict[Part, Spend]:
    """Price a site's charges again, one after the other, as its ledger did; what each part spent.

    A figure that a charge or a reply states and that does not follow is a fault, and so is a reply
    of a private run that left without a charge, or whose charge was taken back.
    """
    account = _Account(story)
    for index, event in story.events.get(origin, ()):
        if found := account.take(event.facts):
            findings.fault(origin, index, found, _ACCOUNT)
    _hold_statements(story, site, account.charged, findings)
    return account.standing()


@dataclass(slots=True)
class _Account:
    """A site's charges as its log tells them."""

    story: Story
    charged: dict[Name, Reserved] = field(default_factory=dict)
    """The latest charge of each request, taken back or not."""
    _active: dict[Name, Reserved] = field(default_factory=dict)
    _left: set[Name] = field(default_factory=set)
    """Requests whose reply left."""

    def take(self, facts: Facts) -> str | None:
        """Follow one event; name what does not follow from those before it."""
        match facts:
            case Reserved():
                return self._reserved(facts)
            case ReplySent(request=request):
                self._left.add(request)
                private = isinstance(self.story.plan.privacy, PatientPrivacy)
                owed = request in self.charged or (private and facts.run == self.story.run)
                if owed and request not in self._active:
                    return "a reply left without a charge that stands"
            case Settled(request=request, outcome="voided") if request in self._left:
                return "a charge was taken back after its reply had left"
            case Settled(request=request, outcome="voided"):
                self._active.pop(request, None)
            case _:
                """Tells of no charge."""
        return None

    def _reserved(self, facts: Reserved) -> str | None:
        before = self._active.get(facts.request)
        if before is not None and (before.part, before.event) != (facts.part, facts.event):
            return "a request that was charged is charged again at another price"
        self.charged[facts.request] = self._active[facts.request] = facts
        again = accounting.epsilon_rdp(self._events(facts.part), delta=facts.spent.delta)
        if not _near(again, facts.spent.rdp):
            return f"epsilon {facts.spent.rdp:.6f} was stated, the charges give {again:.6f}"
        return None

    def standing(self) -> dict[Part, Spend]:
        """Return what each part spent, at the delta of its last charge."""
        deltas = {one.part: one.spent.delta for one in self.charged.values()}
        return {
            part: accounting.spend(self._events(part), delta=delta)
            for part, delta in deltas.items()
        }

    def _events(self, part: Part) -> list[SampledGaussian]:
        return [one.event for one in self._active.values() if one.part == part]


def _hold_statements(
    story: Story, site: SiteName, charged: dict[Name, Reserved], findings: Findings
) -> None:
    """Hold what the site stated with each reply against its own charge and the plan's price."""
    evaluations = {
        one.request for _, one in story.stated(story.own, RequestSent) if one.purpose == "evaluate"
    }
    for index, facts in story.stated(story.own, ReplyReceived):
        if (facts.run, facts.site) != (story.run, site):
            continue
        own, said = charged.get(facts.request), facts.privacy
        part: Part = "validation" if facts.request in evaluations else "train"
        price = _price(story, part)
        if said is None:
            if price is not None:
                found = f"{site} stated no charge, and the plan has a price"
                findings.fault(story.own, index, found, "See the plan.")
            continue
        stated = (said.part, said.event, said.max_norm, said.spent)
        if own is None or (own.part, own.event, own.max_norm, own.spent) != stated:
            findings.fault(
                story.own,
                index,
                f"{site} stated a charge that is not in its log",
                "Its account and its statement differ.",
            )
        elif price != (said.part, said.event, said.max_norm, said.spent.delta):
            findings.fault(
                story.own, index, f"{site} charged another price than the plan's", "See the plan."
            )


def _price(story: Story, part: Part) -> tuple[Part, SampledGaussian, float, float] | None:
    """Return part, event, sensitivity and delta that the plan prices a reply at, if any."""
    plan = story.plan
    event = plan.train_event() if part == "train" else plan.evaluation_event()
    if event is None or not isinstance(plan.privacy, PatientPrivacy):
        return None
    return part, event, plan.privacy.max_norm if part == "train" else 1.0, plan.privacy.delta


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _TOLERANCE * max(1.0, abs(one), abs(other))
