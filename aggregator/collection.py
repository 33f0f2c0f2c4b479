"""Collecting what the sites answer: updates to the spool, histograms, and the end of a run.

* Each reply is checked alone and put on disk as it comes.
* One that cannot be used is quarantined, named and recorded; the others go on.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from aggregator.aggregation.spool import Spool
from aggregator.asking import Asking, checked, replies
from aggregator.audit.evaluations import keep_evaluation
from aggregator.gates.update_gate import faults_of_evaluation, weighed
from aggregator.run_state import Arrived, SiteHistogram
from schemas.names import SiteName
from schemas.update import Acknowledgement, Evaluation, Update


def collect_updates(
    asking: Asking, spool: Spool, *, body: bytes, before: Sequence[Arrived]
) -> tuple[Arrived, ...]:
    """Ask for updates, spool the usable ones, and return all that are spooled, in site order.

    Sites that came `before` are not asked again. One update is written while the next one comes in.
    """
    arrived = {one.site: one for one in before}
    missing = [site for site in asking.request.participants if site not in arrived]
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        again = bool(before)
        for came in replies(asking, missing, body, again=again) if missing else ():
            found = checked(asking, came, Update)
            if written is not None:
                written.result()
                written = None
            if found is not None and (one := _arrived(asking, found, came.packet.body)):
                arrived[came.site] = one
                envelope, delta = came.packet.envelope, came.packet.body
                written = writer.submit(spool.put, came.site, found, envelope, delta)
        if written is not None:
            written.result()
    return tuple(arrived[site] for site in sorted(arrived))


def collect_histograms(asking: Asking, *, body: bytes) -> tuple[SiteHistogram, ...]:
    """Ask for evaluations and return the usable ones in site order."""
    histograms = dict[SiteName, SiteHistogram]()
    for came in replies(asking, asking.request.participants, body):
        found = checked(asking, came, Evaluation)
        if found is not None and _is_usable(asking, found):
            keep_evaluation(asking.federation.home, found, came.packet.envelope)
            histograms[came.site] = SiteHistogram(site=came.site, histogram=found.histogram)
    return tuple(histograms[site] for site in sorted(histograms))


def close(asking: Asking) -> None:
    """Have the sites cosign the log that says how the run ended."""
    for came in replies(asking, asking.request.participants, b""):
        checked(asking, came, Acknowledgement)


def _arrived(asking: Asking, found: Update, delta: bytes) -> Arrived | None:
    """Return what the round needs of an update; None after a recorded fault."""
    weight = weighed(found, delta, plan=asking.plan, layout=asking.layout)
    for fault in weight.faults:
        asking.quarantine(found.site, fault)
        return None
    return Arrived(site=found.site, arrays=found.arrays, norm=weight.norm)


def _is_usable(asking: Asking, found: Evaluation) -> bool:
    for fault in faults_of_evaluation(found, plan=asking.plan):
        asking.quarantine(found.site, fault)
        return False
    return True
