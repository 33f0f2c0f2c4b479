"""The report on one run: what left, at what cost, why a model was accepted.

* Pure: equal events, plan and facts give an equal report, byte for byte.
* The events are those of the whole journal, since its tree head covers all of them.
"""

from collections.abc import Iterable, Sequence

from aggregator.audit import findings, history
from aggregator.audit.handover import handover
from aggregator.audit.privacy import privacy_section
from aggregator.audit.reading import (
    Reading,
    conformance,
    key_changes,
    keys,
    missing,
    quarantines,
    reading,
    refusals,
    sign_offs,
)
from aggregator.audit.records import Release, Report, ReportFacts, SiteRow
from aggregator.audit.releases import releases
from schemas.audit.artefacts import OF_PATIENTS
from schemas.audit.events import AuditEvent
from schemas.audit.work import software_rows
from schemas.pages.records import Finding
from schemas.plan import TrainingPlan

__all__ = ["Report", "ReportFacts", "report", "report_of"]


def report(
    events: Iterable[AuditEvent], *, plan: TrainingPlan, run: str, facts: ReportFacts
) -> Report:
    """Report on a run from the aggregator's whole journal.

    Raises:
        InputRefused: the journal holds no such run.
    """
    source = reading(events, run=run)
    return report_of(source, plan=plan, facts=facts, integrity=findings.integrity(source, facts))


def report_of(
    source: Reading, *, plan: TrainingPlan, facts: ReportFacts, integrity: Finding
) -> Report:
    """Report on a run that was read, whose journal's integrity was found."""
    rows = history.rounds(source, plan)
    judgements = history.judgements(source, plan)
    accepted = history.accepted_model(source, plan)
    handed = handover(source.events, [one.site for one in plan.sites])
    section = privacy_section(source, plan)
    left = releases(source, plan)
    reports = conformance(source, facts.contract.digest)
    closed = source.closed
    return Report(
        facts=facts,
        run=source.run,
        plan=plan,
        plan_digest=plan.digest,
        opened=source.opened[0][0].time,
        closed=closed[0].time if closed else None,
        ending=closed[1].reason if closed else "",
        events=len(source.journal),
        findings=(
            integrity,
            findings.privacy(source, plan, section),
            findings.contract(source, plan, facts, refusals=refusals(source), reports=reports),
            findings.gate(source, plan, judgements, model=(accepted, handed)),
            findings.exceptions(
                source,
                rows,
                refusals=refusals(source),
                quarantines=quarantines(source),
                missing=missing(source),
            ),
        ),
        sites=_sites(source, plan, left),
        releases=left,
        conformance=reports,
        privacy=section,
        rounds=rows,
        judgements=judgements,
        refusals=refusals(source),
        quarantines=quarantines(source),
        missing=missing(source),
        accepted=accepted,
        handover=handed,
        key_changes=key_changes(source),
        software=software_rows(source.journal),
        sign_offs=sign_offs(source),
    )


def _sites(source: Reading, plan: TrainingPlan, left: Sequence[Release]) -> tuple[SiteRow, ...]:
    known = keys(source)
    total = sum(one.weight for one in plan.sites if one.role == "trainer")
    rows = []
    for declared in sorted(plan.sites, key=lambda one: one.site):
        own = [one for one in left if one.site == declared.site]
        row = SiteRow(
            site=declared.site,
            key=known.get(declared.site),
            role=declared.role,
            weight=declared.weight,
            share=declared.weight / total if declared.role == "trainer" else 0.0,
            expected_patients=declared.expected_patients,
            updates=sum(one.purpose == "train" for one in own if one.artefact in OF_PATIENTS),
            evaluations=sum(one.purpose != "train" for one in own if one.artefact in OF_PATIENTS),
            messages=sum(one.artefact not in OF_PATIENTS for one in own),
            size_bytes=sum(one.size_bytes for one in own),
        )
        rows.append(row)
    return tuple(rows)
