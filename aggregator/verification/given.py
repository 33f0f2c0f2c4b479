"""Whether what sites gave to sums can show a value of one of them, by the sites' own logs.

* Under one approval of the plan a site lets one set of sites be opened over a model: two sums, of
  which one lacks a site, show that site's value by their difference.
* The keys by which a site knew the others are keys that they had: with others the aggregator, or
  whoever had the root key, would have spoken for them.
"""

from aggregator.verification.story import Story
from schemas.audit.events import PeersTaken, PlanApproved, SumGiven
from schemas.audit.verification.findings import Findings
from schemas.names import Digest, SiteName
from schemas.protection.messages import Purpose

_APART = "The difference of the two sums shows what the sites gave that are in one of them alone."
_FALSE = "What this site gave was hidden among sites that someone else spoke for."


def hold_given(story: Story, findings: Findings) -> None:
    """Hold what each site says of the sums that it gave to, in all its runs of this plan."""
    for origin in story.sites().values():
        _hold_sets(story, origin, findings)
        _hold_keys(story, origin, findings)


def _hold_sets(story: Story, origin: str, findings: Findings) -> None:
    first = dict[tuple[Purpose, Digest], set[SiteName]]()
    for index, event in story.events[origin]:
        match event.facts:
            case PlanApproved(plan=story.plan.digest):
                first.clear()
            case SumGiven(plan=story.plan.digest) as one:
                sites = set(one.sites)
                if first.setdefault((one.purpose, one.model), sites) != sites:
                    found = (
                        f"this site gave to two sums over one model, of other sites in {one.run}"
                    )
                    findings.fault(origin, index, found, _APART)


def _hold_keys(story: Story, origin: str, findings: Findings) -> None:
    for index, facts in story.stated(origin, PeersTaken):
        if facts.plan == story.plan.digest:
            for site, key in facts.keys.items():
                if key not in story.signers.get(site, ()):
                    found = f"this site knew {site} by a key that no roster of this bundle has"
                    findings.fault(origin, index, found, _FALSE)
