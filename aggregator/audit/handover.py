"""What became of a run's accepted model: the decision on its release, and who signed for it.

* A site is named as without the model until its receipt is in the journal. A model that it took
  from a file later leaves no receipt here.
* The newest decision counts; a run that was taken up again decides anew.
"""

from collections.abc import Sequence

from schemas.audit.events import AuditEvent, ModelDelivered, ReleaseDecided
from schemas.base import Record
from schemas.gate import CheckResult
from schemas.names import Digest, Moment, SiteName


class ReceiptRow(Record):
    """A site's signed receipt, as it came."""

    site: SiteName
    time: Moment
    release: Digest
    """Of the signed release that the receipt names."""


class Handover(Record):
    """The decision and the receipts."""

    decided: Moment
    arrays: Digest
    is_released: bool
    checks: tuple[CheckResult, ...]
    """The plan's release criteria; empty when it has none."""
    receipts: tuple[ReceiptRow, ...]
    without: tuple[SiteName, ...]
    """Sites of the plan whose receipt did not come; empty when nothing was released."""


def handover(events: Sequence[AuditEvent], sites: Sequence[SiteName]) -> Handover | None:
    """Return what became of the model in one run's events; None while nothing is decided."""
    decisions = [(one, one.facts) for one in events if isinstance(one.facts, ReleaseDecided)]
    if not decisions:
        return None
    event, decision = decisions[-1]
    receipts = {
        one.facts.site: ReceiptRow(site=one.facts.site, time=one.time, release=one.facts.release)
        for one in reversed(events)
        if isinstance(one.facts, ModelDelivered) and one.facts.arrays == decision.arrays
    }
    missing = sorted(set(sites) - set(receipts)) if decision.is_released else []
    return Handover(
        decided=event.time,
        arrays=decision.arrays,
        is_released=decision.is_released,
        checks=decision.checks,
        receipts=tuple(receipts[site] for site in sorted(receipts)),
        without=tuple(missing),
    )
