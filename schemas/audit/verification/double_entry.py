"""Double entry: what a site says it sent and what the aggregator says it received meet by digest.

* A request that a site received was sent; a reply that it sent was received, left out by name, or
  recorded as missing; a refusal likewise. An entry on one side only is a fault.
* A conformance report that was received left its site. One that left and was not received is told:
  it may be about another contract, or have gone another way.
* It is found at the entry that stands alone.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from schemas.audit.verification.findings import Findings

Facts: TypeAlias = dict[str, Any]
Claim: TypeAlias = tuple[str, ...]


_REPORTS = "conformance"
"""In place of a run's name, where a site notes that a report with a charge left (no run has it)."""


@dataclass(slots=True)
class Entries:
    """What one log claims, by what it is about; each with the first event that says so."""

    requests: dict[Claim, int] = field(default_factory=dict)
    """Request and its arrays."""
    replies: dict[Claim, int] = field(default_factory=dict)
    """Site, request, digest of the reply, of its arrays."""
    refusals: dict[Claim, int] = field(default_factory=dict)
    """Site, request, code."""
    reports: dict[Claim, int] = field(default_factory=dict)
    """Site, digest of its conformance report."""
    excused: dict[Claim, int] = field(default_factory=dict)
    """Site and request whose reply the aggregator left out or missed."""
    asked: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Sites by request."""
    latest: dict[tuple[str, int], str] = field(default_factory=dict)
    """The latest request of a round; a quarantine names the round alone."""

    def take(self, index: int, facts: Facts, site: str | None) -> None:
        """Note what an event claims; `site` owns the log, None: the aggregator."""
        match facts.get("kind"):
            case "request-sent" | "exchange-asked":
                self.requests.setdefault(_request(facts), index)
                self.asked[facts["request"]].update(facts["sites"])
                self.latest[facts["run"], facts["round"]] = facts["request"]
            case "request-received" | "exchange-received":
                self.requests.setdefault(_request(facts), index)
            case "conformance-reported" | "conformance-received":
                self.reports.setdefault((site or facts["site"], facts["report"]), index)
            case "reply-sent" if facts["run"] == _REPORTS:
                self.reports.setdefault((site or "", facts["reply"]), index)
            case "reply-sent" | "reply-received" | "exchange-answered" | "exchange-replied":
                self.replies.setdefault(_reply(facts, site or facts["site"]), index)
            case "refused" | "refusal-received":
                claim = (site or facts["site"], facts["request"], facts["code"])
                self.refusals.setdefault(claim, index)
            case "reply-missing":
                self.excused.setdefault((facts["site"], facts["request"]), index)
            case "quarantined" if facts["site"] is not None:
                request = self.latest.get((facts["run"], facts["round"]), "")
                self.excused.setdefault((facts["site"], request), index)
            case _:
                """Tells of nothing that crossed."""


def joined(
    aggregator: Entries, sites: dict[str, Entries], *, origins: dict[str, str], findings: Findings
) -> None:
    """Hold the logs of both sides against each other; `origins` names each party's log."""
    own = origins[""]
    for site, entries in sites.items():
        origin = origins[site]
        for claim, index in _alone(entries.requests, aggregator.requests):
            if site not in aggregator.asked.get(claim[0], set()):
                findings.fault(
                    origin,
                    index,
                    f"{site} received request {claim[0]}, which the aggregator's log never sent",
                    "A request was made outside the log, or taken out of it.",
                )
            else:
                findings.fault(
                    origin,
                    index,
                    f"{site} received other arrays with request {claim[0]} than the log sent",
                    "Sites were shown different models under one request.",
                )
        for kind, here, there in (
            ("reply", entries.replies, aggregator.replies),
            ("refusal", entries.refusals, aggregator.refusals),
        ):
            _hold(kind, here, there, excused=aggregator.excused, log=(origin, findings))
    for kind, claims in (("reply", aggregator.replies), ("refusal", aggregator.refusals)):
        for claim, index in claims.items():
            entries_of = sites.get(claim[0])
            if entries_of is None:
                findings.fault(
                    own, index, f"a {kind} of {claim[0]}, whose log is not here", _ABSENT
                )
            elif claim not in (entries_of.replies if kind == "reply" else entries_of.refusals):
                findings.fault(
                    own,
                    index,
                    f"a {kind} to {claim[1]} was received from {claim[0]}, whose log never sent it",
                    "The site's log lacks it, or the aggregator invented or changed it.",
                )

    _hold_reports(aggregator, sites, origins=origins, findings=findings)


def _hold_reports(
    aggregator: Entries, sites: dict[str, Entries], *, origins: dict[str, str], findings: Findings
) -> None:
    """Hold the conformance reports that were received against those that left."""
    for site, entries in sites.items():
        for _, index in _alone(entries.reports, aggregator.reports):
            findings.remark(
                origins[site],
                index,
                f"a conformance report left {site}, and the aggregator's log lacks it",
                "It is about another contract, went another way, or no reply has carried it yet.",
            )
    for claim, index in aggregator.reports.items():
        if claim[0] not in sites or claim not in sites[claim[0]].reports:
            findings.fault(
                origins[""],
                index,
                f"a conformance report of {claim[0]} was received, and its log never let it leave",
                "The site's log lacks it, or the aggregator invented it.",
            )


_ABSENT = "Nothing but the aggregator's word says that it came."


def _hold(
    kind: str,
    here: dict[Claim, int],
    there: dict[Claim, int],
    *,
    excused: dict[Claim, int],
    log: tuple[str, Findings],
) -> None:
    origin, findings = log
    for claim, index in _alone(here, there):
        found = f"a {kind} to {claim[1]} left {claim[0]}, and the aggregator's log lacks it"
        if claim[:2] in excused:
            findings.remark(
                origin, index, found, "The aggregator recorded that it left it out or missed it."
            )
        else:
            findings.fault(
                origin, index, found, "It was dropped, changed on the way, or taken out of the log."
            )


def _alone(here: dict[Claim, int], there: dict[Claim, int]) -> Iterable[tuple[Claim, int]]:
    return ((claim, index) for claim, index in here.items() if claim not in there)


def _request(facts: Facts) -> Claim:
    return facts["request"], facts["arrays"]


def _reply(facts: Facts, site: str) -> Claim:
    return site, facts["request"], facts["reply"], facts["arrays"] or ""
