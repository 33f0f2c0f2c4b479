"""Whether each stored model follows: from the model before it, and from all that sites sent.

* Its parent is the last candidate, or after a roll back the model accepted last; the sites trained
  from what it says.
* In the open it is made of every update that was received and not left out by name; under Krum of
  as many of them as the plan keeps. A quorum of updates is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from aggregator.verification.story import Story
from schemas.aggregation import Krum
from schemas.audit.events import (
    CheckpointStored,
    Facts,
    Quarantined,
    ReplyReceived,
    RequestSent,
    RoundMoved,
)
from schemas.audit.verification.findings import Findings
from schemas.checkpoint import CheckpointManifest
from schemas.names import Digest, SiteName

__all__ = ["hold_models"]


def hold_models(story: Story, findings: Findings) -> None:
    """Hold every model of the run against the rounds before it and the updates of its own."""
    initial = story.plan.initial.arrays
    following = _Following(story, accepted=initial, parent=initial)
    for index, event in story.events.get(story.own, ()):
        if getattr(event.facts, "run", None) == story.run:
            for found in following.take(event.facts):
                meaning = "The model does not follow from what the sites sent."
                findings.fault(story.own, index, found, meaning)


@dataclass(slots=True)
class _Following:
    """Where the run stands, as its log tells it."""

    story: Story
    accepted: Digest | None
    parent: Digest | None
    """The model that the next candidate comes after."""
    _stored: Digest | None = None
    _asked: RequestSent | None = None
    _received: dict[SiteName, Digest] = field(default_factory=dict)
    """This round's updates that each passed alone."""
    _left_out: set[SiteName] = field(default_factory=set)
    """Sites whose updates did not pass together with the others; held together again after an
    abandoned round."""
    _phase: str = ""

    def take(self, facts: Facts) -> Iterator[str]:
        """Follow one event of the run; name what does not follow from those before it."""
        match facts:
            case RequestSent():
                self._asked = facts
                for site in facts.sites if facts.purpose == "train" else ():
                    self._received.pop(site, None)  # asked again, it answers again
            case ReplyReceived(site=site, arrays=arrays) if arrays is not None:
                self._received[site] = arrays
            case Quarantined(site=site) if self._phase == "collected":
                self._left_out.add(site or "")
            case Quarantined(site=site) if self._trains():
                self._received.pop(site or "", None)
            case CheckpointStored():
                self._stored = facts.arrays
                manifest = self.story.manifests.get(facts.manifest)
                if manifest is not None:
                    yield from self._origin(manifest)
                    yield from self._sources(manifest)
            case RoundMoved():
                self._move(facts)
            case _:
                """Tells of no model."""

    def _trains(self) -> bool:
        return self._asked is not None and self._asked.purpose == "train"

    def _move(self, facts: RoundMoved) -> None:
        self._phase = facts.target
        match facts.target:
            case "collected":
                self._left_out.clear()
            case "combined":
                self.parent = self._stored
            case "accepted":
                self.accepted = self._stored
            case "rolled-back":
                self.parent = self.accepted
            case "opened" if facts.source not in {"collected", "screened", "abandoned"}:
                self._received.clear()
            case _:
                """Changes no model."""

    def _origin(self, manifest: CheckpointManifest) -> Iterator[str]:
        number = manifest.round
        if manifest.parent != self.parent:
            yield f"the model of round {number} does not come after the one before it"
        asked = self._asked.arrays if self._asked is not None and self._trains() else None
        averages = self.story.plan.aggregation.average_from is not None
        if manifest.trained_from != asked or not (averages or asked == self.parent):
            yield f"the model of round {number} was not trained from the model before it"

    def _sources(self, manifest: CheckpointManifest) -> Iterator[str]:
        number, combiner = manifest.round, self.story.plan.aggregation.combiner
        made_of = {one.site: one.update for one in manifest.sources}
        is_open = self.story.plan.protection.kind == "open"
        passed = {site: one for site, one in self._received.items() if site not in self._left_out}
        if (len(passed) if is_open else len(made_of)) < self.story.plan.participation.quorum:
            yield f"the model of round {number} is made of fewer updates than the plan's quorum"
        if not is_open:
            return  # held with the sums
        if isinstance(combiner, Krum):
            kept = made_of.items() <= passed.items() and len(made_of) == combiner.keep
        else:
            kept = made_of == passed
        if not kept or len(made_of) != len(manifest.sources):
            yield f"the model of round {number} is not made of the updates that count"
