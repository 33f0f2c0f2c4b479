"""What a bundle's events amount to: plan, lineage, epsilon and verdicts, each derived again.

* The accepted model follows from the initial arrays through updates that sites say they sent, with
  the plan's weights, and through verdicts.
* Each site's epsilon is priced again from the charges in its own log.
* Each verdict is given again on the histograms that the sites signed.
"""

from dataclasses import dataclass, field

from aggregator.rounds import EDGES
from aggregator.verification.charges import epsilon_again
from aggregator.verification.conformance import hold_conformance
from aggregator.verification.given import hold_given
from aggregator.verification.lineage import hold_models
from aggregator.verification.story import Story
from aggregator.verification.sums import hold_sums
from aggregator.verification.verdicts import hold_verdicts
from schemas.audit.events import (
    CheckpointStored,
    PlanApproved,
    ReplySent,
    RoundMoved,
    RunClosed,
    RunOpened,
    VerdictGiven,
)
from schemas.audit.verification.findings import Findings
from schemas.manifest import Part
from schemas.names import Digest, SiteName
from schemas.privacy import Spend


@dataclass(slots=True)
class Derived:
    """What was computed again."""

    accepted: Digest | None = None
    rounds: tuple[int, ...] = ()
    """Of the models on the way from the initial one to the accepted one."""
    epsilon: dict[SiteName, dict[Part, Spend]] = field(default_factory=dict)
    verdicts: dict[int, str] = field(default_factory=dict)


def derived(story: Story, findings: Findings) -> Derived:
    """Derive what can be derived; whatever differs is a fault."""
    result = Derived()
    _hold_plan(story, findings)
    _hold_moves(story, findings)
    result.verdicts = hold_verdicts(story, findings)
    _hold_lineage(story, findings, result)
    hold_models(story, findings)
    hold_conformance(story, findings)
    hold_sums(story, findings)
    hold_given(story, findings)
    for site, origin in story.sites().items():
        result.epsilon[site] = epsilon_again(story, site, origin, findings)
    return result


def _hold_plan(story: Story, findings: Findings) -> None:
    """Hold that the run followed this plan, and that each site had approved it before it sent."""
    plan, contract = story.plan, story.contract.digest
    runs = [one for one in story.stated(story.own, RunOpened) if one[1].run == story.run]
    if not runs:
        findings.fault(story.own, 0, f"the run {story.run} was never opened", "It is another log.")
    for index, facts in runs:
        found = (facts.plan, facts.contract, facts.initial)
        if (
            found != (plan.digest, contract, plan.initial.arrays)
            or plan.contract.pinned != contract
        ):
            findings.fault(
                story.own, index, "the run is of another plan or contract", "Files were swapped."
            )
    for origin in story.sites().values():
        sent = [one for one in story.stated(origin, ReplySent) if one[1].run == story.run]
        approved = [
            index
            for index, facts in story.stated(origin, PlanApproved)
            if facts.plan == plan.digest
        ]
        if sent and not (approved and approved[0] < sent[0][0]):
            findings.fault(
                origin, sent[0][0], "a reply left before the plan was approved here", _APPROVAL
            )


_APPROVAL = "Nobody at this hospital had allowed it."


def _hold_moves(story: Story, findings: Findings) -> None:
    """Hold the run's rounds against the transition table."""
    phase = "accepted"
    for index, facts in story.stated(story.own, RoundMoved):
        if facts.run != story.run:
            continue
        allowed: tuple[str, ...] = {str(a): b for a, b in EDGES.items()}.get(facts.source, ())
        if facts.source != phase or facts.target not in allowed:
            findings.fault(
                story.own, index, f"no round moves from {phase} to {facts.target}", _MOVED
            )
        phase = facts.target


_MOVED = "An edge is missing, repeated or invented."


def _hold_lineage(story: Story, findings: Findings, result: Derived) -> None:
    """Walk from the accepted model to the initial one, through models with the plan's weights."""
    known: dict[Digest, tuple[Digest | None, int]] = {}
    for index, facts in story.stated(story.own, CheckpointStored):
        if facts.run != story.run:
            continue
        manifest = story.manifests.get(facts.manifest)
        if manifest is None or (manifest.arrays, manifest.round) != (facts.arrays, facts.round):
            findings.fault(
                story.own, index, "a model without its manifest", "Its origin cannot be shown."
            )
            continue
        for source in manifest.sources:
            declared = story.plan.site(source.site)
            if declared is None or source.weight != declared.weight:
                findings.fault(
                    story.own,
                    index,
                    f"{source.site} counts with a weight that the plan does not give it",
                    _LINEAGE,
                )
        known[facts.arrays] = (manifest.parent, facts.round)
    _walk(story, findings, result, known=known)


_LINEAGE = "The model does not follow from what the sites sent."


def _walk(
    story: Story,
    findings: Findings,
    result: Derived,
    *,
    known: dict[Digest, tuple[Digest | None, int]],
) -> None:
    passed = [
        facts.verdict.candidate
        for _, facts in story.stated(story.own, VerdictGiven)
        if facts.run == story.run and facts.verdict.outcome == "accepted"
    ]
    result.accepted = passed[-1] if passed else None
    closed = [one for one in story.stated(story.own, RunClosed) if one[1].run == story.run]
    if closed and closed[-1][1].accepted != result.accepted:
        findings.fault(
            story.own, closed[-1][0], "the run ended with another model than passed", _LINEAGE
        )
    if not closed:
        findings.remark(story.own, None, "the run is not over", "More events will follow.")
    place, rounds = result.accepted, list[int]()
    while place is not None and place != story.plan.initial.arrays:
        if place not in known or len(rounds) > len(known):
            findings.fault(story.own, None, "the accepted model has no beginning", _LINEAGE)
            break
        place, number = known[place]
        rounds.append(number)
    result.rounds = tuple(reversed(rounds))
