"""Logs that their owners wrote otherwise and signed anew: what they mean does not follow."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from aggregator.verification.meaning import derived
from aggregator.verification.story import Story, story_of
from schemas.audit.events import (
    AuditEvent,
    ModelDelivered,
    ReleaseDecided,
    ReplyReceived,
    RequestSent,
    Reserved,
    RoundMoved,
    Settled,
    VerdictGiven,
)
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.integrity import opened, verify
from schemas.base import Record
from tests.bundles import OWN, Finished, finished, finished_study, repacked
from tests.study import made

EAST = "site/east"
OTHER = "sha256:" + "ab" * 32
Lie = Callable[[Story], None]


@cache
def untouched() -> Story:
    """Read a finished private run's bundle once in a process."""
    return read(finished())


def read(run: Finished) -> Story:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.zip"
        path.write_bytes(repacked(run.files))
        bundle, findings = opened(path)
        story = story_of(bundle, findings)
        assert story is not None
        verify(bundle, findings, lambda log, at, one: story.take(log, at, one, findings))
        bundle.container.close()
    return story


def faults(*lies: Lie, of: Story | None = None) -> list[str]:
    """Let the lies change the story, and say what is found."""
    story, findings = deepcopy(of or untouched()), Findings([], [])
    for lie in lies:
        lie(story)
    derived(story, findings)
    return [one.found for one in findings.faults]


def told(origin: str, kind: type[Record], change: Callable[[Any], dict[str, Any]]) -> Lie:
    """Change every event of one kind in one log."""

    def lie(story: Story) -> None:
        story.events[origin] = [
            (at, with_facts(one, one.facts.model_copy(update=change(one.facts))))
            if isinstance(one.facts, kind)
            else (at, one)
            for at, one in story.events[origin]
        ]

    return lie


def with_facts(event: AuditEvent, facts: Any) -> AuditEvent:
    return event.model_copy(update={"facts": facts})


def left_out(origin: str, *kinds: type[Record]) -> Lie:
    def lie(story: Story) -> None:
        story.events[origin] = [
            one for one in story.events[origin] if not isinstance(one[1].facts, kinds)
        ]

    return lie


def take_charges_back(story: Story) -> None:
    """Void every charge at the end of a site's log, whatever left."""
    log = story.events[EAST]
    for _, event in list(log):
        if isinstance(event.facts, Reserved):
            voided = Settled(request=event.facts.request, outcome="voided")
            log.append((len(log), with_facts(event, voided)))


def another_delta(facts: Any) -> dict[str, Any]:
    said = facts if isinstance(facts, Reserved) else facts.privacy
    spent = said.spent.model_copy(update={"delta": 0.01})
    if said is facts:
        return {"spent": spent}
    return {"privacy": said.model_copy(update={"spent": spent})}


def another_part(facts: Any) -> dict[str, Any]:
    if isinstance(facts, Reserved):
        return {"part": "validation"}
    return {"privacy": facts.privacy.model_copy(update={"part": "validation"})}


def without_an_evaluation(story: Story) -> None:
    del story.evaluations[next(iter(story.evaluations))]


def unjudged(story: Story) -> None:
    """Go on from the last round as if the plan did not judge it."""
    log = story.events[OWN]
    verdict = max(at for at, one in log if isinstance(one.facts, VerdictGiven))
    moves = [at for at, one in log if isinstance(one.facts, RoundMoved) and at > verdict]
    event = log[moves[1]][1]
    told_at = log[moves[1]][0]
    log[moves[1]] = (
        told_at,
        with_facts(event, event.facts.model_copy(update={"source": "combined"})),
    )
    del log[moves[0]], log[verdict]


def of_verdict(**fields: str) -> Lie:
    return told(OWN, VerdictGiven, lambda one: {"verdict": one.verdict.model_copy(update=fields)})


def asked_about_another(facts: RequestSent) -> dict[str, Any]:
    return {"arrays": OTHER} if facts.purpose == "evaluate" else {}


def judged_as_accepted(facts: RoundMoved) -> dict[str, Any]:
    return {"target": "accepted"} if facts.source == "judged" else {}


def sources_of(count: int) -> Lie:
    """Make every model of fewer sites' updates, without leaving any out by name."""

    def lie(story: Story) -> None:
        for digest, one in story.manifests.items():
            story.manifests[digest] = one.model_copy(update={"sources": one.sources[:count]})

    return lie


def after_a_rejected(story: Story) -> None:
    """Reject the first round's model, and go on from it all the same."""
    log = story.events[OWN]
    for place, (at, event) in enumerate(log):
        facts = event.facts
        if isinstance(facts, RoundMoved) and facts.round == 1 and facts.source == "judged":
            moved = facts.model_copy(update={"target": "rolled-back"})
            log[place] = (at, with_facts(event, moved))


def few_received(story: Story) -> None:
    """Receive one update a round, and make the models of it."""
    sources_of(1)(story)
    story.events[OWN] = [
        (at, one)
        for at, one in story.events[OWN]
        if not (
            isinstance(one.facts, ReplyReceived)
            and one.facts.arrays is not None
            and one.facts.site != "east"
        )
    ]


ANOTHER_MODEL = "is about another model than was stored"
UNSAID = told(OWN, ReplyReceived, lambda _: {"privacy": None})

LIES: dict[str, tuple[tuple[Lie, ...], str]] = {
    "charges are taken back after their replies left": (
        (take_charges_back,),
        "a charge was taken back after its reply had left",
    ),
    "charges are settled as voided": (
        (told(EAST, Settled, lambda _: {"outcome": "voided"}),),
        "a charge was taken back after its reply had left",
    ),
    "no charge was ever written down": (
        (UNSAID, left_out(EAST, Reserved, Settled)),
        "a reply left without a charge that stands",
    ),
    "no reply states its charge": ((UNSAID,), "east stated no charge, and the plan has a price"),
    "epsilon is told at another delta": (
        (told(EAST, Reserved, another_delta), told(OWN, ReplyReceived, another_delta)),
        "east charged another price than the plan's",
    ),
    "training is charged to the other patients": (
        (told(EAST, Reserved, another_part), told(OWN, ReplyReceived, another_part)),
        "east charged another price than the plan's",
    ),
    "the sites evaluated another model": (
        (told(OWN, RequestSent, asked_about_another),),
        ANOTHER_MODEL,
    ),
    "a verdict is about another model": ((of_verdict(candidate=OTHER),), ANOTHER_MODEL),
    "a verdict is against another model": (
        (of_verdict(accepted=OTHER),),
        "holds its model against one not accepted last",
    ),
    "an evaluation is withheld": ((without_an_evaluation,), "in round 1 is not here"),
    "a round is not judged": ((unjudged,), "round 2 was judged where the plan does not"),
    "a round ends otherwise than its verdict": (
        (told(OWN, RoundMoved, judged_as_accepted),),
        "round 1 did not end as its verdict says",
    ),
    "an update is left out without a word": (
        (sources_of(2),),
        "the model of round 1 is not made of the updates that count",
    ),
    "models without a source": ((sources_of(0),), "is not made of the updates that count"),
    "fewer updates than the quorum": ((few_received,), "fewer updates than the plan's quorum"),
    "a model comes after a rejected one": (
        (after_a_rejected,),
        "the model of round 2 does not come after the one before it",
    ),
}


def test_an_untouched_story_has_no_fault() -> None:
    assert faults() == []


@pytest.mark.parametrize(("lies", "found"), LIES.values(), ids=LIES)
def test_a_story_told_otherwise_is_found(lies: tuple[Lie, ...], found: str) -> None:
    assert any(found in one for one in faults(*lies))


@cache
def accepted() -> Story:
    """Read the bundle of a run whose model was released, once in a process."""
    with TemporaryDirectory() as folder:
        gate = {"floor": 0.0, "site_min_class_weight": 1.0}
        study = made(Path(folder), rounds=1, evaluation={"rounds": [1]}, gate=gate)
        return read(finished_study(study))


RELEASES: dict[str, tuple[Lie, str]] = {
    "another model is released": (
        told(OWN, ReleaseDecided, lambda _: {"arrays": OTHER}),
        "is not about the model accepted last",
    ),
    "a release is decided without a check": (
        told(OWN, ReleaseDecided, lambda _: {"checks": ()}),
        "is not what the plan's checks give",
    ),
    "a model is handed out that was refused": (
        told(OWN, ReleaseDecided, lambda _: {"is_released": False}),
        "was handed a model that was not released",
    ),
    "another model is handed out": (
        told(OWN, ModelDelivered, lambda _: {"arrays": OTHER}),
        "was handed a model that was not released",
    ),
}


@pytest.mark.parametrize(("lie", "found"), RELEASES.values(), ids=RELEASES)
def test_a_release_told_otherwise_is_found(lie: Lie, found: str) -> None:
    assert faults(of=accepted()) == []
    assert any(found in one for one in faults(lie, of=accepted()))
