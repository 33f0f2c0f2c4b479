"""Opening the sum of what the sites hold, and nothing else: self-checks, then five exchanges.

* Here are those of masking; `settling` has those of encryption.
* Bonawitz et al. 2017, doi:10.1145/3133956.3133982, figure 4, with the consistency check. A site
  that is silent, refuses or errs in an exchange is in none after it.
* Who is left is held against the plan after every exchange; below it the attempt is lost, and
  nothing is opened.
* The log gets digests of adverts, sets of sites, agreements and the sum, and never a share.
"""

import math
from collections.abc import Sequence

import numpy as np

from aggregator.aggregation.spool import Vector
from aggregator.asking import Asking, checked, replies
from aggregator.gates.update_gate import Fault, faults_of_self_check
from aggregator.protection.attempts import Sums
from aggregator.protection.exchanging import Attempt, Lost, envelopes, exchanged, hold, whole
from aggregator.protection.settling import (
    may_begin_again,
    name_faulty,
    opened_by_sites,
    without_faulty,
)
from aggregator.protection.unmasking import Roll, SecretLost, unmask
from aggregator.run_state import OpenedSum, SiteHistogram
from schemas.audit.events import SumLost, SumOpened
from schemas.names import SiteName, digest_of
from schemas.plan import TrainingPlan
from schemas.protection.fixed_point import Elements, decoded, decoded_counts, read
from schemas.protection.messages import (
    Advert,
    Agreement,
    Boxes,
    Context,
    MaskedInput,
    Purpose,
    SelfCheck,
    Unmasking,
)
from schemas.protection.settings import SUM, Encrypted
from schemas.protection.shamir import SHARE_BYTES
from schemas.protection.terms import delta_ring, share_of, terms_of
from schemas.update import Histogram, TrainRequest

_CHUNK = 2**18


def collect_sum(asking: Asking, sums: Sums, *, body: bytes) -> OpenedSum | None:
    """Ask for self-checks and open the sum of those that hold; None when the attempt is lost.

    `asking` has the request to train or to evaluate, and `body` goes with it. What an earlier call
    had, before a crash, is taken up; an attempt that was lost is followed by the next.
    """
    purpose: Purpose = "train" if isinstance(asking.request, TrainRequest) else "evaluate"
    context = Context.model_validate(
        {
            **asking.request.model_dump(include={"federation", "run", "plan", "round"}),
            "purpose": purpose,
            "model": asking.request.arrays,
            "attempt": sums.attempt(),
        }
    )
    terms = terms_of(asking.plan, context)
    values = sum(one.size for one in asking.layout)
    size = values if purpose == "train" else 2 * asking.plan.evaluation.bins
    attempt = Attempt(asking, terms, sums, size)
    ready = _self_checked(attempt, body)
    is_encrypted = purpose == "train" and isinstance(asking.plan.protection, Encrypted)
    try:
        if is_encrypted:
            return opened_by_sites(attempt, ready)
        ready = without_faulty(attempt, ready)
        hold(terms.least, ready, "advertise")
        return _opened(attempt, ready)
    except Lost as lost:
        asking.note(
            SumLost(**attempt.place, exchange=lost.exchange, left=lost.left, needed=lost.needed)
        )
    except SecretLost as error:
        asking.quarantine(error.site, Fault("shares", error.message))
        left = len(sums.answers(attempt.number, "unmask").sites())
        asking.note(SumLost(**attempt.place, exchange="unmask", left=left, needed=terms.threshold))
    if not is_encrypted or may_begin_again(attempt, ready):
        sums.lose(attempt.number)
    return None


def collect_summed(asking: Asking, sums: Sums, *, body: bytes) -> tuple[SiteHistogram, ...]:
    """Ask for evaluations and open the sum of their histograms; none when the attempt is lost."""
    opened = collect_sum(asking, sums, body=body)
    if opened is None or opened.histogram is None:
        return ()
    return (SiteHistogram(site=SUM, histogram=opened.histogram, of=tuple(sorted(opened.inputs))),)


def _self_checked(attempt: Attempt, body: bytes) -> tuple[SiteName, ...]:
    """Return the sites that hold a value; those that said so before are not asked again."""
    asking, answers = attempt.asking, attempt.sums.checks
    purpose, bound = attempt.terms.context.purpose, attempt.terms.ring.bound
    ready = set(whole(asking, answers, SelfCheck))
    missing = [site for site in asking.request.participants if site not in ready]
    again = bool(ready)
    for came in replies(asking, missing, body, again=again) if missing else ():
        found = checked(asking, came, SelfCheck)
        if found is None:
            continue
        faults = faults_of_self_check(found, plan=asking.plan, purpose=purpose, bound=bound)
        for fault in faults[:1]:
            asking.quarantine(came.site, fault)
        if not faults:
            answers.put(came.site, came.packet.envelope, b"")
            ready.add(came.site)
    return tuple(sorted(ready & set(attempt.terms.sites)))


def _opened(attempt: Attempt, ready: Sequence[SiteName]) -> OpenedSum:
    """Carry out the five exchanges and take the masks off the sum."""
    terms, sums = attempt.terms, attempt.sums
    adverts = exchanged(attempt, "advertise", ready, Advert)
    hold(terms.least, adverts, "advertise")
    cards = envelopes(attempt, "advertise", adverts)
    boxes = exchanged(attempt, "share", tuple(adverts), Boxes, beside=cards.values())
    hold(terms.least, boxes, "share")
    sealed = [sums.answers(attempt.number, "share").body(site) for site in boxes]
    inputs = exchanged(attempt, "input", tuple(boxes), MaskedInput, beside=sealed)
    name_faulty(attempt, "input", tuple(boxes))
    hold(terms.least, inputs, "input")
    agreements = exchanged(attempt, "agree", tuple(inputs), Agreement)
    hold(terms.threshold, agreements, "agree")
    words = envelopes(attempt, "agree", agreements)
    told = exchanged(attempt, "unmask", tuple(agreements), Unmasking, beside=words.values())
    hold(terms.threshold, told, "unmask")
    roll = Roll({site: one.keys for site, one in adverts.items()}, tuple(boxes), tuple(inputs))
    total = _total(attempt, roll, tuple(told))
    digests = {site: one.arrays for site, one in inputs.items()}
    opened = OpenedSum(
        attempt=attempt.number,
        inputs=digests,
        total=sums.keep_total(attempt.number, total),
        histogram=_histogram(attempt, total),
    )
    attempt.asking.note(
        SumOpened(
            **attempt.place,
            advertised={site: digest_of(one) for site, one in cards.items()},
            sharing=tuple(boxes),
            survivors=digests,
            agreements={site: digest_of(one) for site, one in words.items()},
            total=opened.total,
            histogram=opened.histogram,
            openings={},
        )
    )
    return opened


def _total(attempt: Attempt, roll: Roll, telling: Sequence[SiteName]) -> Elements:
    """Add the survivors' masked values and take the masks off; name who told wrong shares.

    Raises:
        SecretLost: too few whole shares of some site.
    """
    terms, number = attempt.terms, attempt.number
    inputs, shares = (attempt.sums.answers(number, one) for one in ("input", "unmask"))
    total = np.zeros(attempt.size, dtype=terms.ring.dtype)
    for site in roll.survivors:
        total += read(inputs.body(site), terms.ring)
    revealed: dict[SiteName, dict[SiteName, int]] = {site: {} for site in roll.masking}
    for site in telling:
        content = shares.body(site)
        for place, other in enumerate(roll.masking):
            share = content[SHARE_BYTES * place : SHARE_BYTES * (place + 1)]
            revealed[other][site] = int.from_bytes(share, "big")
    for site, of in unmask(total, terms, roll, revealed).items():
        reason = (
            f"shares corrected: what {site} told of {', '.join(of)} is wrong; it changed them, or "
            "they sealed wrong ones to it"
        )
        attempt.asking.quarantine(site, Fault("shares", reason))
    return total


def _histogram(attempt: Attempt, total: Elements) -> Histogram | None:
    if attempt.terms.context.purpose == "train":
        return None
    counts = decoded_counts(total)
    half = len(counts) // 2
    return Histogram(counts=(tuple(counts[:half]), tuple(counts[half:])))


def mean_of(opened: OpenedSum, sums: Sums, plan: TrainingPlan) -> Vector:
    """Return the weighted mean of the deltas in a sum.

    Raises:
        CheckpointDamaged: the sum on disk is not the one that was opened.
    """
    ring, share = delta_ring(plan), share_of(plan, *opened.inputs)
    total = sums.total(opened.total, ring)
    mean = np.empty(total.size, dtype=np.float32)
    for start in range(0, total.size, _CHUNK):
        mean[start : start + _CHUNK] = decoded(total[start : start + _CHUNK], ring, share=share)
    return mean


def largest_mean(opened: OpenedSum, plan: TrainingPlan, size: int) -> float:
    """Return the largest norm of a mean whose deltas are each within the plan's bound.

    Each site's rounding adds half a step to each of the `size` values.
    """
    rounding = len(opened.inputs) / 2 * delta_ring(plan).step / share_of(plan, *opened.inputs)
    return (plan.update_gate.max_norm or 0.0) + math.sqrt(size) * rounding
