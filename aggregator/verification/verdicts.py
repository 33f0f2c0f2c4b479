"""Each verdict, given again on the histograms that the sites signed of the model that it is about.

* A verdict is about the model stored in its round, which the sites were asked about and evaluated,
  against the model accepted last.
* What a site was received to say counts, unless it was left out by name; its file is here.
* A round moves as its verdict says.
* A release is of the model accepted last, and passed the plan's checks, which are made again; what
  was delivered, and what a site received by its own log, was released.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aggregator.gates.bounds import for_release
from aggregator.gates.evidence import metrics_of, verdict_on
from aggregator.run_state import SiteHistogram
from aggregator.verification.story import Story
from schemas.audit.events import (
    CheckpointStored,
    ExchangeAsked,
    Facts,
    ModelDelivered,
    ModelReceived,
    Quarantined,
    ReleaseDecided,
    ReplyReceived,
    RequestSent,
    RoundMoved,
    SumOpened,
    VerdictGiven,
)
from schemas.audit.verification.findings import Findings
from schemas.gate import Outcome, Verdict
from schemas.names import Digest, SiteName
from schemas.protection.settings import SUM
from schemas.update import Histogram

_MOVES: dict[Outcome, str] = {
    "accepted": "accepted",
    "rejected": "rolled-back",
    "inconclusive": "provisional",
}


def hold_verdicts(story: Story, findings: Findings) -> dict[int, str]:
    """Give every verdict again; return each round's outcome."""
    judging = _Judging(story, story.plan.initial.arrays)
    for index, event in story.events.get(story.own, ()):
        if getattr(event.facts, "run", None) == story.run:
            for found in judging.take(event.facts):
                findings.fault(story.own, index, found, _CHANGED)
    for origin in story.sites().values():
        for index, received in story.stated(origin, ModelReceived):
            if received.run == story.run and received.arrays != judging.released:
                findings.fault(origin, index, "a model came that was not released", _UNRELEASED)
    return judging.outcomes


_CHANGED = "The verdict, or an evaluation, was changed or left out."
_UNRELEASED = "It was handed out before the decision, or outside the log."


@dataclass(slots=True)
class _Judging:
    """What the log has told so far."""

    story: Story
    accepted: Digest | None
    outcomes: dict[int, str] = field(default_factory=dict)
    released: Digest | None = None
    _best: list[SiteHistogram] = field(default_factory=list)
    _came: dict[int, dict[SiteName, SiteHistogram]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _faulty: dict[int, dict[SiteName, str]] = field(default_factory=lambda: defaultdict(dict))
    """Evaluations that were received and cannot be held against what is here."""
    _stored: dict[int, Digest] = field(default_factory=dict)
    _asked: dict[int, Digest] = field(default_factory=dict)
    """The model that the sites were asked about, by round."""
    _purpose: str = ""
    _given: tuple[Verdict, list[SiteHistogram]] | None = None
    """The latest verdict, until its round moves."""

    def take(self, facts: Facts) -> Iterator[str]:
        """Follow one event of the run; name what does not follow from those before it."""
        match facts:
            case CheckpointStored():
                self._stored[facts.round] = facts.arrays
            case RequestSent() | ExchangeAsked():
                self._purpose = facts.purpose
                if isinstance(facts, RequestSent) and facts.purpose == "evaluate":
                    self._ask(facts)
            case ReplyReceived(arrays=None) if self._purpose == "evaluate":
                self._receive(facts)
            case SumOpened(histogram=Histogram() as histogram):
                of = tuple(sorted(facts.survivors))
                summed = SiteHistogram(site=SUM, histogram=histogram, of=of)
                self._came[facts.round] = {SUM: summed}
            case Quarantined(site=site) if self._purpose == "evaluate":
                self._came[facts.round].pop(site or "", None)
                self._faulty[facts.round].pop(site or "", None)
            case VerdictGiven(verdict=verdict):
                yield from self._judge(verdict)
            case RoundMoved():
                yield from self._move(facts)
            case ReleaseDecided() | ModelDelivered():
                yield from self._release(facts)
            case _:
                """Tells of no verdict."""

    def _ask(self, facts: RequestSent) -> None:
        """Note which model the sites evaluate; asked again, all of them answer again."""
        self._asked[facts.round] = facts.arrays
        if self.story.plan.evaluation.protection == "open":
            self._came[facts.round].clear()
            self._faulty[facts.round].clear()

    def _receive(self, facts: ReplyReceived) -> None:
        if self.story.plan.evaluation.protection != "open":
            return
        found = self.story.evaluations.get(facts.reply)
        if found is None:
            self._faulty[facts.round][facts.site] = "is not here"
            return
        bound = (found.site, found.run, found.round, found.request, found.arrays)
        asked = self._asked.get(facts.round)
        if bound != (facts.site, facts.run, facts.round, facts.request, asked):
            self._faulty[facts.round][facts.site] = "is of another model, round or site"
        self._came[facts.round][facts.site] = SiteHistogram(
            site=facts.site, histogram=found.histogram
        )

    def _judge(self, verdict: Verdict) -> Iterator[str]:
        number = verdict.round
        if not verdict.candidate == self._stored.get(number) == self._asked.get(number):
            yield (
                f"the verdict of round {number} is about another model than was stored, or than "
                "the sites were asked about"
            )
        if verdict.accepted != self.accepted:
            yield f"the verdict of round {number} holds its model against one not accepted last"
        for site, fault in self._faulty[number].items():
            yield f"the evaluation of {site} in round {number} {fault}"
        rests_on = [self._came[number][one] for one in sorted(self._came[number])]
        binding = (number, verdict.candidate, verdict.accepted)
        again = verdict_on(self.story.plan, rests_on, self._best, binding)
        self.outcomes[number] = again.outcome
        if _rounded(again.model_dump()) != _rounded(verdict.model_dump()):
            yield (
                f"the verdict of round {number} is not what the sites' histograms give: "
                f"{again.outcome}"
            )
        self._given = verdict, rests_on

    def _move(self, facts: RoundMoved) -> Iterator[str]:
        """Hold a round's end against its verdict, and take an accepted model as the last one."""
        judged = facts.round in self.story.plan.evaluation.rounds
        if facts.source == "combined" and (facts.target == "judged") != judged:
            yield f"round {facts.round} was judged where the plan does not, or the other way round"
        if facts.source != "judged":
            return
        given, self._given = self._given, None
        if given is None or (given[0].round, _MOVES[given[0].outcome]) != (
            facts.round,
            facts.target,
        ):
            yield f"round {facts.round} did not end as its verdict says"
        elif facts.target == "accepted":
            self.accepted, self._best = given[0].candidate, given[1]

    def _release(self, facts: ReleaseDecided | ModelDelivered) -> Iterator[str]:
        """Make the plan's checks of the accepted model again; hold what was delivered to it."""
        if isinstance(facts, ModelDelivered):
            if facts.arrays != self.released:
                yield f"{facts.site} was handed a model that was not released"
            return
        plan = self.story.plan
        checks = for_release(metrics_of(plan, self._best), criteria=plan.release, gate=plan.gate)
        passed = all(one.outcome == "accepted" for one in checks)
        again = [one.model_dump() for one in checks]
        if not self._best or facts.arrays != self.accepted:
            yield "the decision on a release is not about the model accepted last"
        elif facts.is_released != passed or _rounded(again) != _rounded(
            [one.model_dump() for one in facts.checks]
        ):
            yield "the decision on the release is not what the plan's checks give"
        self.released = facts.arrays if facts.is_released else None


def _rounded(value: Any) -> Any:  # noqa: ANN401 - whatever a record holds
    """Round every figure, so that another machine's last digits do not count."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
