"""The course of a run: its rounds, verdicts and accepted model, derived from the journal.

* Seconds of a round run from its first event to its last; a pause of the run counts.
* A round that was rolled back, and the provisional ones before it back to the accepted model, are
  no ancestors of any later model; an abandoned round is none either.
* A site's figure that the gate left undefined stays undefined.
"""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from aggregator.audit.operating import figure_rows
from aggregator.audit.reading import Reading, missing, quarantines, refusals
from aggregator.audit.records import (
    AcceptedModel,
    Judgement,
    LineageRow,
    Purpose,
    Release,
    RoundOutcome,
    RoundRow,
    Tally,
    Undefined,
)
from aggregator.audit.releases import releases, summed
from schemas.audit.events import AuditEvent, CheckpointStored, RequestSent, RoundMoved, VerdictGiven
from schemas.gate import SiteMetric, Verdict
from schemas.gate_power import least_class_weight
from schemas.names import Digest
from schemas.plan import TrainingPlan

_Answers: TypeAlias = Counter[tuple[str, int, Purpose]]

_ENDINGS = {"accepted", "rolled-back", "provisional", "abandoned"}


def rounds(source: Reading, plan: TrainingPlan) -> tuple[RoundRow, ...]:
    """Describe every round that the journal names, in order."""
    grouped: dict[int, list[AuditEvent]] = {}
    for event in source.events:
        number = _round_of(event)
        if number is not None:
            grouped.setdefault(number, []).append(event)
    answers = _answers(source, plan)
    return tuple(_row(plan, number, grouped[number], answers) for number in sorted(grouped))


def judgements(source: Reading, plan: TrainingPlan) -> tuple[Judgement, ...]:
    """Return the verdicts in the order in which they were given."""
    return tuple(
        Judgement(
            verdict=facts.verdict,
            deviation=_stratified_deviation(facts.verdict.sites),
            undefined=tuple(
                Undefined(site=one.site, reason=_why_undefined(one, plan))
                for one in facts.verdict.sites
                if one.value is None
            ),
            figures=figure_rows(facts.verdict, confidence=plan.gate.confidence),
        )
        for _, facts in source.stated(VerdictGiven)
    )


def accepted_model(source: Reading, plan: TrainingPlan) -> AcceptedModel | None:
    """Return the last accepted model with its lineage; None while only the initial arrays stand."""
    verdicts = [facts.verdict for _, facts in source.stated(VerdictGiven)]
    wins = [one for one in verdicts if one.outcome == "accepted"]
    if not wins:
        return None
    stored = _stored(source, wins[-1])
    return AcceptedModel(
        arrays=stored.arrays if stored else wins[-1].candidate,
        manifest=stored.manifest if stored else None,
        round=wins[-1].round,
        value=wins[-1].value,
        initial=source.opened[0][1].initial,
        lineage=_lineage(source, plan, last=wins[-1].round),
    )


def names_model(digest: Digest, model: AcceptedModel) -> bool:
    """Say whether a digest names this model, by its arrays or by its manifest."""
    return digest in {model.arrays, model.manifest}


def _stored(source: Reading, verdict: Verdict) -> CheckpointStored | None:
    found = [
        facts
        for _, facts in source.stated(CheckpointStored)
        if verdict.candidate in {facts.arrays, facts.manifest}
    ]
    return found[-1] if found else None


def _round_of(event: AuditEvent) -> int | None:
    if isinstance(event.facts, VerdictGiven):
        return event.facts.verdict.round
    number = getattr(event.facts, "round", None)
    return number if isinstance(number, int) and number >= 1 else None


def _row(
    plan: TrainingPlan, number: int, events: Sequence[AuditEvent], answers: _Answers
) -> RoundRow:
    phase = _phase(events)
    verdicts = [one.facts.verdict for one in events if isinstance(one.facts, VerdictGiven)]
    verdict = verdicts[-1] if verdicts else None
    train = _tally(events, number, "train", answers=answers)
    return RoundRow(
        round=number,
        phase=phase,
        outcome=_outcome(phase, verdict, is_judged=number in plan.evaluation.rounds),
        train=train or Tally(asked=0, replied=0, refused=0, quarantined=0, missing=0),
        evaluation=_tally(events, number, "evaluate", answers=answers),
        value=verdict.value if verdict else None,
        seconds=_seconds(events),
    )


def _phase(events: Sequence[AuditEvent]) -> str:
    moves = [one.facts.target for one in events if isinstance(one.facts, RoundMoved)]
    return moves[-1].lower().replace("_", "-") if moves else "opened"


def _outcome(phase: str, verdict: Verdict | None, *, is_judged: bool) -> RoundOutcome:
    if phase == "abandoned":
        return "abandoned"
    if verdict is not None:
        return verdict.outcome
    if phase == "provisional" or (phase == "combined" and not is_judged):
        return "provisional"
    return "unfinished"


def _seconds(events: Sequence[AuditEvent]) -> float:
    first, last = (datetime.fromisoformat(one.time) for one in (events[0], events[-1]))
    return round((last - first).total_seconds(), 3)


def _answers(source: Reading, plan: TrainingPlan) -> _Answers:
    """Count sites by way of answering, round and purpose; quarantines count one by one."""
    told = {
        *(("replied", one.round, one.purpose, one.site) for one in releases(source, plan)),
        *(("refused", one.round, one.purpose, one.site) for one in refusals(source)),
        *(("missing", one.round, one.purpose, one.site) for one in missing(source)),
    }
    counted: _Answers = Counter((way, number, purpose) for way, number, purpose, _ in told)
    counted.update(("quarantined", one.round, one.purpose) for one in quarantines(source))
    return counted


def _tally(
    events: Sequence[AuditEvent], number: int, purpose: Purpose, *, answers: _Answers
) -> Tally | None:
    """Return how the sites answered; None when nothing was asked."""
    asked = [
        one.facts.sites
        for one in events
        if isinstance(one.facts, RequestSent) and one.facts.purpose == purpose
    ]
    if not asked:
        return None
    return Tally(
        asked=len({site for sites in asked for site in sites}),
        replied=answers["replied", number, purpose],
        refused=answers["refused", number, purpose],
        quarantined=answers["quarantined", number, purpose],
        missing=answers["missing", number, purpose],
    )


def _stratified_deviation(sites: Sequence[SiteMetric]) -> float | None:
    """Return the deviation of a mean of independently noised figures; None: one is not known."""
    figures = [one.deviation for one in sites if one.value is not None]
    known = [one for one in figures if one is not None]
    if not figures or len(known) != len(figures):
        return None
    return math.hypot(*known) / len(known)


def _why_undefined(metric: SiteMetric, plan: TrainingPlan) -> str:
    sigma = plan.evaluation.noise_multiplier
    least = least_class_weight(plan.gate, bins=plan.evaluation.bins, noise_multiplier=sigma)
    weights = {
        "negatives": metric.negatives,
        "positives": metric.positives,
        "all together": metric.patients,
    }
    light = [
        f"{name} weigh {weight:.1f}"
        for name, weight in weights.items()
        if weight is not None and weight < least
    ]
    noised, allowance = ("", "") if sigma is None else ("noised ", ", the noise allowed for")
    if light:
        found = " and ".join(light)
        of = " of each class" if metric.patients is None else ""
        needed = f"a figure of its own needs {least:.1f}{of}{allowance}"
        return f"{found} {noised}patients; {needed}"
    return "the released histogram gives no figure"


def _lineage(source: Reading, plan: TrainingPlan, *, last: int) -> tuple[LineageRow, ...]:
    ancestors, in_a_sum = set(_ancestors(rounds(source, plan), last=last)), summed(source)
    return tuple(
        LineageRow(round=one.round, site=one.site, update=one.arrays, weight=_weight(plan, one))
        for one in sorted(releases(source, plan), key=lambda one: (one.round, one.site))
        if one.round in ancestors
        and one.purpose == "train"
        and not one.quarantined
        and one.arrays is not None
        and (one.artefact == "update" or one.arrays in in_a_sum)
    )


def _weight(plan: TrainingPlan, release: Release) -> float:
    declared = plan.site(release.site)
    return declared.weight if declared else 1.0


def _ancestors(rows: Sequence[RoundRow], *, last: int) -> list[int]:
    """Return the rounds whose updates are in the model of round `last`."""
    kept: list[int] = []
    pending: list[int] = []
    for row in rows:
        if row.round > last:
            break
        match _ending(row):
            case "accepted":
                kept, pending = [*kept, *pending, row.round], []
            case "rolled-back":
                pending = []
            case "provisional":
                pending.append(row.round)
    return kept


def _ending(row: RoundRow) -> str:
    if row.phase in _ENDINGS:
        return row.phase
    return "rolled-back" if row.outcome == "rejected" else row.outcome
