"""One exchange of masking with the sites that are left, taken up where a crash left it.

* Its request is made once and is on disk before it is sent.
* A reply that is about other sites, or of another size, than was asked for is left out by name.
* The next exchange's request freezes who answered this one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from aggregator.asking import Answer, Asking, attributed, checked, replies
from aggregator.gates.update_gate import Fault
from aggregator.protection.attempts import Answers, Sums
from schemas.errors import EnvelopeRefused
from schemas.names import SiteName, digest_of
from schemas.protection.agreement import BOX_BYTES
from schemas.protection.messages import (
    EXCHANGES,
    Advert,
    Agreement,
    Boxes,
    Exchange,
    MaskedInput,
    MaskingReply,
    MaskingRequest,
    Unmasking,
    framed,
)
from schemas.protection.shamir import SHARE_BYTES
from schemas.protection.terms import Terms
from schemas.wire.packet import Packet

A = TypeVar("A", bound=Answer)
R = TypeVar("R", Advert, Boxes, MaskedInput, Agreement, Unmasking)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: what is asked with, the terms, and where it stands on disk."""

    asking: Asking
    terms: Terms
    sums: Sums
    size: int
    """Elements of the sum."""

    @property
    def number(self) -> int:
        """From 1."""
        return self.terms.context.attempt

    @property
    def place(self) -> dict[str, Any]:
        """What both of its events name."""
        fields = {"run", "round", "purpose", "attempt"}
        return self.terms.context.model_dump(include=fields)


def exchanged(
    attempt: Attempt,
    exchange: Exchange,
    sites: Sequence[SiteName],
    kind: type[R],
    *,
    beside: Iterable[bytes] = (),
) -> dict[SiteName, R]:
    """Carry out one exchange with the sites that are left; return what came, in name order.

    Once the next exchange's request was made, those that it asks are the ones that count here.
    """
    body = framed(beside)
    request = _request(attempt, exchange, sites, body)
    asking = replace(attempt.asking, request=request)
    answers = attempt.sums.answers(attempt.number, exchange)
    found = whole(asking, answers, kind)
    counting = set(_after(attempt, exchange) or request.participants)
    missing = [site for site in request.participants if site in counting - found.keys()]
    again = bool(found)
    for came in replies(asking, missing, body, again=again) if missing else ():
        one = checked(asking, came, kind)
        if one is None:
            continue
        if not _fits(attempt, request, one, came.packet):
            reason = "reply refused: it is of other sites or of another size than was asked for"
            asking.quarantine(came.site, Fault("exchange", reason))
            continue
        answers.put(came.site, came.packet.envelope, came.packet.body)
        found[came.site] = one
    return {site: found[site] for site in sorted(found.keys() & counting)}


def _request(
    attempt: Attempt, exchange: Exchange, sites: Sequence[SiteName], body: bytes
) -> MaskingRequest:
    """Make an exchange's request, once; it is on disk before it is sent."""
    stored = attempt.sums.request(attempt.number, exchange)
    if stored is not None:
        return stored
    asking, context = attempt.asking, attempt.terms.context
    heads = asking.federation.heads.of(asking.roster)
    name = f"{context.run}.{context.round}.{context.purpose}-{context.attempt}-{exchange}"
    request = MaskingRequest(
        **context.model_dump(exclude={"protocol"}),
        request=name,
        exchange=exchange,
        participants=tuple(sorted(sites)),
        arrays=digest_of(body),
        issued=asking.federation.clock(),
        heads={site: heads[site] for site in sorted(sites) if site in heads},
    )
    attempt.sums.keep_request(request)
    return request


def _after(attempt: Attempt, exchange: Exchange) -> tuple[SiteName, ...]:
    """Return whom the next exchange asks; nobody before it was made."""
    later = EXCHANGES[EXCHANGES.index(exchange) + 1 :]
    request = attempt.sums.request(attempt.number, later[0]) if later else None
    return () if request is None else request.participants


def whole(asking: Asking, answers: Answers, kind: type[A]) -> dict[SiteName, A]:
    """Return what is on disk as its sites signed it for this request."""
    found = dict[SiteName, A]()
    for site in answers.sites():
        try:
            packet = Packet(answers.envelope(site), answers.body(site))
            one = attributed(asking, site, packet, kind)
        except (EnvelopeRefused, OSError):
            continue
        if isinstance(one, kind):
            found[site] = one
    return found


def _fits(attempt: Attempt, request: MaskingRequest, found: MaskingReply, packet: Packet) -> bool:
    """Say whether a reply is about the sites that were asked, and of the size that follows."""
    asked, size = request.participants, len(packet.body)
    match found:
        case Advert():
            return size == 0
        case Boxes():
            return found.sites == asked and size == BOX_BYTES * (len(asked) - 1)
        case MaskedInput():
            return found.sites == asked and size == attempt.size * attempt.terms.ring.dtype.itemsize
        case Agreement():
            return found.survivors == asked and size == 0
        case Unmasking():
            sharing = attempt.sums.request(attempt.number, "input")
            survivors = attempt.sums.request(attempt.number, "agree")
            if sharing is None or survivors is None:
                return False
            count = len(sharing.participants)
            return found.survivors == survivors.participants and size == SHARE_BYTES * count
