"""What sites say of their cohorts: conformance reports, taken in beside replies and kept.

* A report is known by the roster key that signed it, is about the run's contract, and discloses
  what that contract does, no more.
* The newest counts: one that was signed under an older head of the site's journal is left alone.
* A kept one counts on after its site's key was replaced as planned. After a lost key it counts no
  more, and bars none that the site signs anew.
* All that came under a contract are kept, in the order in which they came. The log says that one
  came before it is kept, so that none counts which the log lacks.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aggregator.config import AggregatorHome
from aggregator.federation import Federation
from aggregator.heads import signed_by
from schemas.audit.events import ConformanceReceived
from schemas.conformance import ConformanceReport, undisclosed
from schemas.contract import DataContract
from schemas.enrolment import Member
from schemas.errors import EnvelopeRefused, JournalDamaged
from schemas.files import write_durably
from schemas.names import Digest, Name, SiteName, digest_of
from schemas.plan import TrainingPlan
from schemas.wire.envelope import opened

__all__ = ["Said", "examined", "keep", "kept"]


@dataclass(frozen=True, slots=True)
class Said:
    """What a site says of its cohort with a reply."""

    new: ConformanceReceived | None = None
    """What the log must say of a report that came just now."""
    fault: str = ""
    """Why the reply cannot count; empty: it can."""


def examined(
    federation: Federation, run: Name, plan: TrainingPlan, member: Member, content: str | None
) -> Said:
    """Verify what came beside a reply, and hold it against what the plan needs."""
    if content is None and plan.participation.conformance == "optional":
        return Said()
    rules = _contract((federation.home.runs / run / "contract.json").read_bytes())
    before = [path.read_bytes() for path in kept(federation.home, rules.digest, member.site)]
    came, name = None if content is None else content.encode(), federation.config.federation
    try:
        reports, new = _standing(before[-1:], member, rules, federation=name), None
        if came is not None and came not in before:
            report = _verified(came, member, rules, federation=name)
            if not reports or _size(report, member) > _size(reports[0], member, is_kept=True):
                reports, new = [report], _received(report, came)
    except EnvelopeRefused as error:
        return Said(fault=error.message)
    return Said(new, "" if plan.participation.conformance == "optional" else _lack(reports))


def keep(home: AggregatorHome, received: ConformanceReceived, content: str) -> None:
    """Keep a report that the log says came."""
    number = len(kept(home, received.contract, received.site)) + 1
    name = f"{received.site}-{number:04d}.json"
    write_durably(_folder(home, received.contract) / name, content.encode())


def kept(home: AggregatorHome, contract: Digest, site: SiteName) -> list[Path]:
    """List a site's reports under a contract, oldest first."""
    return sorted(_folder(home, contract).glob(f"{site}-[0-9][0-9][0-9][0-9].json"))


def _folder(home: AggregatorHome, contract: Digest) -> Path:
    return home.conformance / contract.removeprefix("sha256:")[:16]


def _standing(
    before: list[bytes], member: Member, rules: DataContract, *, federation: Name
) -> list[ConformanceReport]:
    """Return the kept report if it still counts: under a lost key, or damaged, it does not."""
    try:
        return [
            _verified(one, member, rules, federation=federation, is_kept=True) for one in before
        ]
    except EnvelopeRefused:
        return []


def _verified(
    content: bytes, member: Member, rules: DataContract, *, federation: Name, is_kept: bool = False
) -> ConformanceReport:
    """Verify a report; one that is kept may be of the time before the site's key was replaced."""
    report = opened(content, ConformanceReport, key=member.signers if is_kept else member.key)
    if (report.federation, report.site) != (federation, member.site):
        raise _foreign("it names another federation or site")
    if fault := undisclosed(report, rules):
        raise _foreign(fault)
    _size(report, member, is_kept=is_kept)
    return report


def _size(report: ConformanceReport, member: Member, *, is_kept: bool = False) -> int:
    """Return how long the site's journal was when it signed a report."""
    try:
        return signed_by(member, report.head, before=is_kept).size
    except JournalDamaged:
        raise _foreign("its journal head is not signed by the site") from None


def _received(report: ConformanceReport, content: bytes) -> ConformanceReceived:
    return ConformanceReceived(
        site=report.site,
        contract=report.contract,
        code=report.code,
        report=digest_of(content),
        declared=report.declared,
        noised=report.noised,
    )


def _lack(reports: list[ConformanceReport]) -> str:
    """Say what keeps a site from counting where a report is needed."""
    if not reports:
        return "reply refused: no conformance report of the site counts, the plan needs one"
    if reports[0].code != "conforms":
        return f"reply refused: the site's report says {reports[0].code}, the plan needs conforms"
    return ""


# Every reply asks for it; equal bytes give equal records.
_contract = lru_cache(maxsize=8)(DataContract.from_canonical)


def _foreign(found: str) -> EnvelopeRefused:
    return EnvelopeRefused(
        f"conformance report refused: {found}",
        next_step="ask the site which contract it reported on, and with which software",
    )
