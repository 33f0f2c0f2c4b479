"""The five verdicts on top of a hospital's report, each with the command that finds it again.

FAIL: something is not as it must be. ATTENTION: a person should look. PASS: neither was found.
"""

from collections.abc import Sequence

from hospital_node.audit.records import ModelRow, PartRow, RefusalRow
from schemas.audit.events import AuditEvent, CohortIngested
from schemas.audit.notes import TreeHead
from schemas.errors import FederationError
from schemas.pages.records import Finding, Standing

_INTEGRITY = "hospital-node audit verify --home DIR"
_BUDGET = "hospital-node budget show --home DIR"
_COHORT = "hospital-node cohort show --home DIR"
_MODELS = "hospital-node model list --home DIR"
_REPORT = "hospital-node audit report --home DIR"


def integrity(head: TreeHead | FederationError, events: int) -> Finding:
    """Say whether the journal is what its signed head says."""
    if isinstance(head, FederationError):
        return Finding(
            subject="integrity",
            standing="FAIL",
            sentence="The journal does not match its signed tree head.",
            details=(head.message,),
            command=_INTEGRITY,
        )
    later = events - head.size
    remark = f"{later} events stand after the signed head: a command is at work, or was killed"
    return Finding(
        subject="integrity",
        standing="ATTENTION" if later else "PASS",
        sentence=f"The tree head over {head.size} of {events} events verifies.",
        details=(remark,) if later else (),
        command=_INTEGRITY,
    )


def privacy(
    parts: Sequence[PartRow], damaged: FederationError | None, *, limit: float, delta: float
) -> Finding:
    """Hold what was spent against the cap."""
    most = max((one.spent.rdp for one in parts), default=0.0)
    without = sum(one.without_privacy for one in parts)
    details: list[str] = []
    standing: Standing = "PASS"
    if without:
        standing = "ATTENTION"
        details.append(f"{without} releases left without privacy; no epsilon counts them")
    if most > limit:
        standing = "FAIL"
        details.append(f"epsilon {most:.3f} is over the cap {limit:g}")
    if damaged is not None:
        standing = "FAIL"
        details.append(damaged.message)
    released = sum(one.releases + one.without_privacy for one in parts)
    sentence = (
        f"Over every charged release ever made, at most epsilon {most:.3f} of {limit:g} was spent "
        f"at delta {delta:g}."
        if released
        else "Nothing of any patient was released yet."
    )
    return Finding(
        subject="privacy",
        standing=standing,
        sentence=sentence,
        details=tuple(details),
        command=_BUDGET,
    )


def contract(events: Sequence[AuditEvent]) -> Finding:
    """Say whether the latest cohort under each contract conforms."""
    latest = {
        event.facts.contract: event.facts.conforms
        for event in events
        if isinstance(event.facts, CohortIngested)
    }
    unfit = [f"{one[:19]}…: the cohort does not conform" for one in latest if not latest[one]]
    sentence = (
        f"{len(latest) - len(unfit)} of {len(latest)} cohorts conform to their contract; a round "
        "is refused where one does not."
        if latest
        else "No cohort was ingested yet."
    )
    return Finding(
        subject="contract",
        standing="PASS" if latest and not unfit else "ATTENTION",
        sentence=sentence,
        details=tuple(unfit),
        command=_COHORT,
    )


def gate(models: Sequence[ModelRow], damaged: Sequence[str]) -> Finding:
    """Say whether every model that came was accepted by the gate and is whole."""
    if damaged:
        standing: Standing = "FAIL"
        sentence = f"{len(damaged)} delivered models are not as they came."
    elif not models:
        standing, sentence = "ATTENTION", "No released model has come here."
    else:
        standing = "PASS"
        sentence = (
            f"{len(models)} released models are here, each accepted by the gate of its run and "
            "signed by the aggregator."
        )
    return Finding(
        subject="gate",
        standing=standing,
        sentence=sentence,
        details=tuple(damaged),
        command=_MODELS,
    )


def exceptions(refusals: Sequence[RefusalRow], incidents: Sequence[str]) -> Finding:
    """Count what did not go as it should."""
    standing: Standing = "FAIL" if incidents else "ATTENTION" if refusals else "PASS"
    sentence = (
        f"Refusals: {len(refusals)}. Incidents: {len(incidents)}."
        if refusals or incidents
        else "Nothing was refused, and no log was shown in two histories."
    )
    return Finding(
        subject="exceptions",
        standing=standing,
        sentence=sentence,
        details=tuple(incidents),
        command=_REPORT,
    )
