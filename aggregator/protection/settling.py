"""Having the sites open the sum of what they encrypted, in five exchanges.

* This side carries a key that it cannot open and ciphertexts that it cannot read. It adds nothing
  up; every site does.
* A site binds itself to one sum in a round. So an attempt is followed by another only when enough
  sites said that they did not settle; else a run that is resumed asks those that are missing. Each
  node guards by itself that it settles once.
* A site whose ciphertexts more than a third of the sites refuse is named, and left out of later
  attempts while enough others are there: one of those who name it is honest.
* Sites that have added up, or opened, different sums abandon the round.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from aggregator.gates.update_gate import Fault
from aggregator.protection.exchanging import Attempt, Lost, envelopes, exchanged, hold
from aggregator.run_state import OpenedSum
from schemas.audit.events import SumOpened
from schemas.names import Digest, SiteName, digest_of
from schemas.protection.fixed_point import read
from schemas.protection.messages import (
    Announcement,
    Ciphertexts,
    Deal,
    Exchange,
    Opening,
    Settlement,
)

R = TypeVar("R", Settlement, Opening)


_PARTS: Mapping[Exchange, tuple[str, str]] = MappingProxyType(
    {"settle": ("ciphertexts", "add them up"), "input": ("boxes", "open them")}
)
"""By the exchange in which a site's part is used: what it is, and what the others cannot do."""


def opened_by_sites(attempt: Attempt, ready: tuple[SiteName, ...]) -> OpenedSum:
    """Carry out the five exchanges of encryption, and keep the sum that the sites opened.

    Raises:
        Lost: too few sites are left after one, or they differ.
    """
    terms, sums = attempt.terms, attempt.sums
    ready = without_faulty(attempt, ready)
    hold(terms.least, ready, "announce")
    announced = exchanged(attempt, "announce", ready, Announcement)
    hold(terms.least, announced, "announce")
    cards = envelopes(attempt, "announce", announced)
    deals = exchanged(attempt, "deal", tuple(announced), Deal, beside=cards.values())
    hold(terms.least, deals, "deal")
    inputs = exchanged(
        attempt, "encrypt", tuple(deals), Ciphertexts, beside=_dealt(attempt, announced, deals)
    )
    hold(terms.least, inputs, "encrypt")
    settled = exchanged(
        attempt, "settle", tuple(inputs), Settlement, beside=_given(attempt, inputs)
    )
    name_faulty(attempt, "settle", tuple(inputs))
    hold(terms.threshold, settled, "settle")
    _hold_same(attempt, "settle", {site: one.total for site, one in settled.items()})
    words = envelopes(attempt, "settle", settled)
    openings = exchanged(attempt, "open", tuple(settled), Opening, beside=words.values())
    hold(terms.threshold, openings, "open")
    _hold_same(attempt, "open", {site: one.arrays for site, one in openings.items()})
    content = sums.answers(attempt.number, "open").body(min(openings))
    digests = {site: one.arrays for site, one in inputs.items()}
    told = envelopes(attempt, "open", openings)
    opened = OpenedSum(
        attempt=attempt.number,
        inputs=digests,
        total=sums.keep_total(attempt.number, read(content, terms.ring)),
        histogram=None,
    )
    attempt.asking.note(
        SumOpened(
            **attempt.place,
            advertised={site: digest_of(one) for site, one in cards.items()},
            sharing=tuple(deals),
            survivors=digests,
            agreements={site: digest_of(one) for site, one in words.items()},
            openings={site: digest_of(one) for site, one in told.items()},
            total=opened.total,
            histogram=None,
        )
    )
    return opened


def without_faulty(attempt: Attempt, ready: Sequence[SiteName]) -> tuple[SiteName, ...]:
    """Return the sites less those left out for a faulty part, while enough others are there."""
    others = tuple(site for site in ready if site not in attempt.sums.left_out())
    return others if len(others) >= attempt.terms.least else tuple(ready)


def may_begin_again(attempt: Attempt, ready: Collection[SiteName]) -> bool:
    """Say whether enough of the sites that hold a value cannot have settled for a sum.

    Who was asked and did not say no counts as settled: its answer may have been lost.
    """
    request = attempt.sums.request(attempt.number, "settle")
    if request is None:
        return True
    refusals = attempt.sums.answers(attempt.number, "settle").refusals()
    settled = set(request.participants) - refusals.keys()
    return len(set(ready) - settled) >= attempt.terms.least


def name_faulty(attempt: Attempt, exchange: Exchange, sites: Collection[SiteName]) -> None:
    """Name the sites whose part more than a third of the sites refuse; later ones go without."""
    named = Counter(attempt.sums.answers(attempt.number, exchange).refusals().values())
    for site in sorted(set(sites) - attempt.sums.left_out()):
        if 3 * named[site] > len(attempt.terms.sites):
            part, cannot = _PARTS[exchange]
            reason = f"{part} refused: {named[site]} sites cannot {cannot}"
            attempt.asking.quarantine(site, Fault(part, reason))
            attempt.sums.leave_out(site)


def _dealt(
    attempt: Attempt, announced: Mapping[SiteName, Announcement], deals: Mapping[SiteName, Deal]
) -> tuple[bytes, bytes]:
    """Return the first site's deal and its boxes.

    Raises:
        Lost: it made no key.
    """
    dealer = min(announced)
    if dealer not in deals or deals[dealer].key is None:
        raise Lost("deal", 0, 1)
    answers = attempt.sums.answers(attempt.number, "deal")
    return answers.envelope(dealer), answers.body(dealer)


def _given(attempt: Attempt, sites: Mapping[SiteName, Ciphertexts]) -> list[bytes]:
    """Return each site's signed word and its ciphertexts, one after the other."""
    answers = attempt.sums.answers(attempt.number, "encrypt")
    return [part for site in sites for part in (answers.envelope(site), answers.body(site))]


def _hold_same(attempt: Attempt, exchange: Exchange, found: Mapping[SiteName, Digest]) -> None:
    """Hold that the sites agree.

    Raises:
        Lost: they do not; nobody can say who is right.
    """
    if len(set(found.values())) > 1:
        did = "added up" if exchange == "settle" else "opened"
        reason = f"sum refused: {len(found)} sites have {did} {len(set(found.values()))} sums"
        attempt.asking.quarantine(None, Fault("sum", reason))
        most = max(list(found.values()).count(one) for one in found.values())
        raise Lost(exchange, most, len(found))
