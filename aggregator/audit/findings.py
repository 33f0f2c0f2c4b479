"""The five verdicts on top of a report: integrity, privacy, contract, gate, exceptions.

* FAIL: something is not as it must be. ATTENTION: a person should look. PASS: neither was found.
* Each is found from the journal and the plan alone, and names the command that finds it again.
* Integrity covers the aggregator's own journal under its own tree head; the bundle has the rest.
"""

from collections.abc import Sequence

from aggregator.audit.handover import Handover
from aggregator.audit.history import names_model
from aggregator.audit.reading import Reading
from aggregator.audit.records import (
    AcceptedModel,
    ConformanceRow,
    Judgement,
    MissingRow,
    PrivacySection,
    QuarantineRow,
    RefusalRow,
    ReportFacts,
    RoundRow,
)
from aggregator.audit.releases import releases
from aggregator.audit.spending import faults, highest
from schemas.audit.events import ForkSeen, RoundMoved
from schemas.audit.merkle import Frontier, leaf_hash
from schemas.audit.notes import TreeHead, claimed_head, verified_head
from schemas.errors import JournalDamaged
from schemas.gate import METRIC_NAMES
from schemas.pages.records import Finding, Standing, Subject
from schemas.plan import TrainingPlan

VERIFY = "aggregator audit verify --home DIR"
REPORT = "aggregator audit report --home DIR"
BUDGET = "hospital-node budget show --home DIR"

_COVERS = (
    "This covers the aggregator's own log under its own signature; what the sites cosigned is in "
    "the run's bundle."
)


def integrity(source: Reading, facts: ReportFacts) -> Finding:
    """Hold the journal against its signed tree head."""
    try:
        origin = source.journal[0].origin
        head = verified_head(facts.head, origin=origin, key=facts.key)
    except JournalDamaged as error:
        return _finding(
            "integrity",
            "FAIL",
            f"The tree head does not verify. {_COVERS}",
            VERIFY,
            [error.message],
        )
    failures, remarks = _journal_faults(source, head)
    count = len(source.journal)
    if failures:
        sentence = f"The journal of {count} events does not match its signed tree head. {_COVERS}"
        return _finding("integrity", "FAIL", sentence, VERIFY, failures + remarks)
    sentence = f"The tree head over {head.size} of {count} events verifies. {_COVERS}"
    return _finding("integrity", "ATTENTION" if remarks else "PASS", sentence, VERIFY, remarks)


def privacy(source: Reading, plan: TrainingPlan, section: PrivacySection) -> Finding:
    """Hold what the sites stated against what the plan promises."""
    if not section.is_private:
        sentence = "The plan trains without privacy: no guarantee protects any patient."
        return _finding("privacy", "FAIL", sentence, BUDGET, [])
    found = faults(source, plan, section.spends)
    if found:
        sentence = f"{len(found)} statements do not carry the privacy that the plan promises."
        return _finding("privacy", "FAIL", sentence, BUDGET, found)
    most = highest(section.spends)
    if most is None or most.spent is None:
        sentence = "No site has released anything yet, so no epsilon is defined."
        return _finding("privacy", "ATTENTION", sentence, BUDGET, [])
    sentence = (
        "Every release carries the plan's patient-level privacy; the most that a site stated with "
        f"one is epsilon {most.spent.rdp:.3f} at delta {most.spent.delta:g} "
        f"({most.site}, {most.part} part)."
    )
    return _finding("privacy", "PASS", sentence, BUDGET, [])


def contract(
    source: Reading,
    plan: TrainingPlan,
    facts: ReportFacts,
    *,
    refusals: Sequence[RefusalRow],
    reports: Sequence[ConformanceRow],
) -> Finding:
    """Hold the run's plan and contract against this report's, and what sites said of cohorts."""
    failures = [
        f"opened {event.time}: the run's {name} is {found[:19]}…, this report's is {expected[:19]}…"
        for event, opened in source.opened
        for name, found, expected in (
            ("plan", opened.plan, plan.digest),
            ("contract", opened.contract, facts.contract.digest),
        )
        if found != expected
    ]
    if plan.contract.pinned != facts.contract.digest:
        failures.append("the plan does not pin this contract by its digest")
    failures += _unreported(source, plan, reports)
    if failures:
        sentence = "The run did not follow the plan and contract that this report shows."
        return _finding("contract", "FAIL", sentence, REPORT, failures)
    unfit = [
        f"round {one.round}: {one.site} refused, its cohort does not fit"
        for one in refusals
        if one.code == "cohort-unfit"
    ]
    unfit += [f"{one.site} reported {one.code}" for one in reports if one.code != "conforms"]
    if unfit:
        sentence = (
            f"One contract held for the whole run; cohorts did not fit it {len(unfit)} times."
        )
        return _finding("contract", "ATTENTION", sentence, REPORT, unfit)
    sentence = (
        f"One contract held for the whole run (version {facts.contract.version}); each node checks "
        "its own cohort against it before it answers, and no count leaves that it does not "
        f"disclose. Signed reports that a cohort conforms: {len(reports)} of {len(plan.sites)}."
    )
    return _finding("contract", "PASS", sentence, REPORT, [])


def _unreported(
    source: Reading, plan: TrainingPlan, reports: Sequence[ConformanceRow]
) -> list[str]:
    """Name the sites that counted without the report that the plan needs."""
    if plan.participation.conformance == "optional":
        return []
    known = {one.site for one in reports}
    counted = {one.site for one in releases(source, plan) if not one.quarantined}
    return [f"{site} counted without a conformance report" for site in sorted(counted - known)]


def gate(
    source: Reading,
    plan: TrainingPlan,
    judgements: Sequence[Judgement],
    *,
    model: tuple[AcceptedModel | None, Handover | None],
) -> Finding:
    """Say whether an accepted model stands and was released, and which candidates were not."""
    accepted, handed = model
    failures = _gate_faults(source, judgements, accepted)
    if accepted is None:
        judged = f"{len(judgements)} of {len(plan.evaluation.rounds)} planned judgements were made"
        if source.closed:
            failures.append(f"the run ended without an accepted model; {judged}")
        sentence = f"No model has passed the gate; {judged}."
        return _finding("gate", "FAIL" if failures else "ATTENTION", sentence, REPORT, failures)
    away = [
        f"round {one.verdict.round}: {one.verdict.outcome}"
        for one in judgements
        if one.verdict.outcome != "accepted"
    ]
    metric = METRIC_NAMES[plan.metric]
    figure = "undefined" if accepted.value is None else f"{accepted.value:.3f}"
    sentence = (
        f"The model of round {accepted.round} is accepted (stratified {metric} {figure}); "
        f"of {len(judgements)} candidates {len(judgements) - len(away)} passed."
    )
    if not source.closed:
        away.append("the run is still open")
    if handed is not None and not handed.is_released:
        missed = [one.reason for one in handed.checks if one.outcome != "accepted"]
        away += [f"not released: {reason}" for reason in missed]
    standing: Standing = "FAIL" if failures else "ATTENTION" if away else "PASS"
    return _finding("gate", standing, sentence, REPORT, failures + away)


def exceptions(
    source: Reading,
    rows: Sequence[RoundRow],
    *,
    refusals: Sequence[RefusalRow],
    quarantines: Sequence[QuarantineRow],
    missing: Sequence[MissingRow],
) -> Finding:
    """Count what did not go as the plan foresees."""
    standing_still = {one.round for one in rows if one.outcome == "abandoned"}
    abandoned = [
        f"round {one.round} was abandoned"
        + ("" if one.round in standing_still else ", opened again and ended")
        for _, one in source.stated(RoundMoved)
        if one.target == "abandoned"
    ]
    unknown = [
        f"round {one.round}: a reply of an unknown sender was left out ({one.check})"
        for one in quarantines
        if one.site is None
    ]
    forks = [
        f"incident: {_owner(one)} signed two histories of its log (event {event.sequence})"
        for event, one in source.stated(ForkSeen)
    ]
    if not (abandoned or refusals or quarantines or missing or forks):
        sentence = "No refusal, quarantine or missing reply, and no abandoned round."
        return _finding("exceptions", "PASS", sentence, REPORT, [])
    sentence = (
        f"Refusals: {len(refusals)}. Quarantined replies: {len(quarantines)}. "
        f"Missing replies: {len(missing)}. Abandoned rounds: {len(abandoned)}."
    )
    standing: Standing = "FAIL" if standing_still or unknown or forks else "ATTENTION"
    details = [*forks, *abandoned, *unknown]
    return _finding("exceptions", standing, sentence, REPORT, details)


def _owner(incident: ForkSeen) -> str:
    head = claimed_head(incident.shown)
    return "a log's owner" if head is None else head.origin


def _journal_faults(source: Reading, head: TreeHead) -> tuple[list[str], list[str]]:
    """Return what breaks the journal, and what a person should look at."""
    failures: list[str] = []
    remarks: list[str] = []
    journal = source.journal
    if any(one.sequence != index for index, one in enumerate(journal)):
        failures.append("events are missing, repeated or out of order")
    if len({one.origin for one in journal}) > 1:
        failures.append("events of more than one log")
    frontier = Frontier()
    for event in journal[: head.size]:
        frontier = frontier.appended(leaf_hash(event.canonical()))
    if (frontier.size, frontier.root()) != (head.size, head.root):
        failures.append("the root over the events is not the signed one")
    if len(journal) > head.size:
        remarks.append(f"{len(journal) - head.size} events stand after the signed head")
    times = [one.time for one in journal]
    if times != sorted(times):
        remarks.append("the clock went back between two events")
    return failures, remarks


def _gate_faults(
    source: Reading, judgements: Sequence[Judgement], accepted: AcceptedModel | None
) -> list[str]:
    found = [
        f"round {one.verdict.round}: accepted although the check {check.check} was rejected"
        for one in judgements
        if one.verdict.outcome == "accepted"
        for check in one.verdict.checks
        if check.outcome == "rejected"
    ]
    if source.closed and source.closed[1].accepted is not None:
        digest = source.closed[1].accepted
        initial = source.opened[0][1].initial
        is_known = digest == initial if accepted is None else names_model(digest, accepted)
        if not is_known:
            found.append("the run ended with another model than the gate accepted last")
    elif source.closed and accepted is not None:
        found.append("the run ended without the model that the gate accepted")
    return found


def _finding(
    subject: Subject, standing: Standing, sentence: str, command: str, details: Sequence[str]
) -> Finding:
    return Finding(
        subject=subject,
        standing=standing,
        sentence=sentence,
        details=tuple(details),
        command=command,
    )
