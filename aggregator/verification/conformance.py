"""What the sites said of their cohorts, held against their signed reports, contract and plan.

* What the aggregator's log says of a report stands in that report, which its site signed.
* A report discloses what the contract does, and its noised counts carry charges of the site's log.
* Where the plan needs reports, a site's update is in a model only after one that conforms came.
"""

from collections.abc import Iterator

from aggregator.verification.story import Story
from schemas.audit.events import (
    CheckpointStored,
    ConformanceReceived,
    ReplyReceived,
    Reserved,
)
from schemas.audit.verification.findings import Findings
from schemas.conformance import ConformanceReport, undisclosed
from schemas.names import SiteName

__all__ = ["hold_conformance"]


def hold_conformance(story: Story, findings: Findings) -> None:
    """Hold every report of the run's contract, and that none is lacking."""
    for index, facts in story.stated(story.own, ConformanceReceived):
        if facts.contract == story.contract.digest:
            for fault in _faults(story, facts):
                findings.fault(story.own, index, fault, "The report or the log was changed.")
    if story.plan.participation.conformance == "required":
        for index, site in _unreported(story):
            findings.fault(
                story.own,
                index,
                f"an update of {site} counts, and no report that its cohort conforms came before",
                "The plan needs one.",
            )


def _faults(story: Story, facts: ConformanceReceived) -> Iterator[str]:
    report = story.reports.get(facts.report)
    if report is None:
        yield f"a conformance report of {facts.site} that is not here"
        return
    said = (report.site, report.contract, report.code, report.declared, report.noised)
    if said != (facts.site, facts.contract, facts.code, facts.declared, facts.noised):
        yield f"the log says of {facts.site}'s conformance report what does not stand in it"
    if fault := undisclosed(report, story.contract):
        yield f"the conformance report of {facts.site} is refused: {fault}"
    yield from _uncharged(story, report)


def _uncharged(story: Story, report: ConformanceReport) -> Iterator[str]:
    """Name the noised counts whose charge is not in the site's log."""
    origin = story.sites().get(report.site)
    charged = [] if origin is None else [one for _, one in story.stated(origin, Reserved)]
    for count in report.noised:
        stated = (count.part, count.privacy.event, count.privacy.max_norm, count.privacy.spent)
        if all((one.part, one.event, one.max_norm, one.spent) != stated for one in charged):
            yield f"{report.site} reported a count whose charge is not in its log"


def _unreported(story: Story) -> Iterator[tuple[int, SiteName]]:
    """Name each update in a model that was received before a report that its site conforms."""
    conforming = set[SiteName]()
    ready = set[tuple[SiteName, str]]()
    for index, event in story.events.get(story.own, ()):
        match event.facts:
            case ConformanceReceived(contract=story.contract.digest) as facts:
                conforming.discard(facts.site)
                if facts.code == "conforms":
                    conforming.add(facts.site)
            case ReplyReceived(run=story.run, arrays=arrays) as facts if arrays is not None:
                if facts.site in conforming:
                    ready.add((facts.site, arrays))
            case CheckpointStored(run=story.run) as facts:
                manifest = story.manifests.get(facts.manifest)
                for source in manifest.sources if manifest else ():
                    if (source.site, source.update) not in ready:
                        yield index, source.site
            case _:
                """Tells of neither."""
