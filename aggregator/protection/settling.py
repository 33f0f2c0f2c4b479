"""Having the sites open the sum of what they encrypted, in five exchanges.

* This side carries a key that it cannot open and ciphertexts that it cannot read. It adds nothing
  up; every site does.
* A site binds itself to one sum in a round. So an attempt in which some have settled is never
  followed by another: a run that is resumed asks those that are missing.
* Sites that have added up, or opened, different sums abandon the round.
"""

from collections.abc import Mapping
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


def opened_by_sites(attempt: Attempt, ready: tuple[SiteName, ...]) -> OpenedSum:
    """Carry out the five exchanges of encryption, and keep the sum that the sites opened.

    Raises:
        Lost: too few sites are left after one, or they differ.
    """
    terms, sums = attempt.terms, attempt.sums
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


def has_settled(attempt: Attempt) -> bool:
    """Say whether sites were asked to bind themselves to one sum of the round."""
    return attempt.sums.request(attempt.number, "settle") is not None


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
