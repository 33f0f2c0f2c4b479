"""Epsilon of each site, priced again from its own log, and what its replies stated of it."""

from deployment.verification.story import Story
from schemas import accounting
from schemas.audit.events import ReplyReceived, Reserved, Settled
from schemas.audit.verification.findings import Findings
from schemas.names import Name, SiteName
from schemas.privacy import SampledGaussian, Spend

_TOLERANCE = 1e-6
"""Relative: how far a figure may be from the one computed again, on another machine."""


def epsilon_again(
    story: Story, site: SiteName, origin: str, findings: Findings
) -> dict[str, Spend]:
    """Price a site's charges again, one after the other, as its ledger did; what each part spent.

    A figure that a charge or a reply states and that does not follow is a fault.
    """
    active: dict[tuple[str, Name], SampledGaussian] = {}
    latest: dict[str, Spend] = {}
    charged: dict[Name, Reserved] = {}
    for index, event in story.events.get(origin, ()):
        match event.facts:
            case Reserved() as facts:
                active[facts.part, facts.request] = facts.event
                charged[facts.request] = facts
                latest[facts.part] = facts.spent
                again = accounting.epsilon_rdp(_of(active, facts.part), delta=facts.spent.delta)
                if not _near(again, facts.spent.rdp):
                    findings.fault(
                        origin,
                        index,
                        f"epsilon {facts.spent.rdp:.6f} was stated, the charges give {again:.6f}",
                        "The site's account does not follow from its own log.",
                    )
            case Settled(outcome="voided") as facts:
                for part in ("train", "validation"):
                    active.pop((part, facts.request), None)
            case _:
                """Tells of no charge."""
    _hold_statements(story, site, charged, findings)
    return {
        part: accounting.spend(_of(active, part), delta=spent.delta)
        for part, spent in latest.items()
    }


def _hold_statements(
    story: Story, site: SiteName, charged: dict[Name, Reserved], findings: Findings
) -> None:
    """Hold what the site stated with each reply against its own charge and the plan's price."""
    prices = {"train": story.plan.train_event(), "validation": story.plan.evaluation_event()}
    for index, facts in story.stated(story.own, ReplyReceived):
        if (facts.run, facts.site) != (story.run, site) or facts.privacy is None:
            continue
        own, said = charged.get(facts.request), facts.privacy
        stated = (said.part, said.event, said.max_norm, said.spent)
        if own is None or (own.part, own.event, own.max_norm, own.spent) != stated:
            findings.fault(
                story.own,
                index,
                f"{site} stated a charge that is not in its log",
                "Its account and its statement differ.",
            )
        elif prices[said.part] != said.event:
            findings.fault(
                story.own, index, f"{site} charged another price than the plan's", "See the plan."
            )


def _of(active: dict[tuple[str, Name], SampledGaussian], part: str) -> list[SampledGaussian]:
    return [event for (its, _), event in active.items() if its == part]


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _TOLERANCE * max(1.0, abs(one), abs(other))
