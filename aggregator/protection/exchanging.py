"""One exchange with the sites that are left, taken up where a crash left it.

* Its request is made once and is on disk before it is sent.
* A reply that is about other sites, or of another size, than was asked for is left out by name; so
  is one with a key that another site has shown before it: every other site would refuse both.
* The next exchange's request freezes who answered this one.
"""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from aggregator.asking import Answer, Asking, Came, attributed, checked, replies
from aggregator.gates.update_gate import Fault, faults_of_binding
from aggregator.protection.attempts import Answers, Sums
from schemas.errors import EnvelopeRefused, OtherMessages
from schemas.names import SiteName, digest_of
from schemas.protection.agreement import BOX_BYTES, PublicKey
from schemas.protection.ciphertexts import are_boxes, are_whole
from schemas.protection.messages import (
    Advert,
    Agreement,
    Announcement,
    Boxes,
    Ciphertexts,
    Deal,
    Exchange,
    ExchangeReply,
    ExchangeRequest,
    MaskedInput,
    Opening,
    Settlement,
    Unmasking,
    framed,
    next_of,
)
from schemas.protection.shamir import SHARE_BYTES
from schemas.protection.terms import Terms
from schemas.update import Refusal
from schemas.wire.packet import Packet

A = TypeVar("A", bound=Answer)
R = TypeVar("R", bound=ExchangeReply)


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
    answers.forget_refusals()
    for came in replies(asking, missing, body, again=again) if missing else ():
        one = checked(asking, came, kind)
        if one is None:
            _keep_refusal(asking, answers, came, kind)
            continue
        if not _fits(attempt, request, one, came.packet):
            reason = "reply refused: it is of other sites or of another size than was asked for"
            asking.quarantine(came.site, Fault("exchange", reason))
            continue
        if _repeats(one, found.values()):
            reason = "reply refused: a key in it stands twice among the sites' keys"
            asking.quarantine(came.site, Fault("keys", reason))
            continue
        answers.put(came.site, came.packet.envelope, came.packet.body)
        found[came.site] = one
    return {site: found[site] for site in sorted(found.keys() & counting)}


def _keep_refusal(asking: Asking, answers: Answers, came: Came, kind: type[R]) -> None:
    """Keep that a site has signed a no, and whose part it names."""
    try:
        found = attributed(asking, came.site, came.packet, kind)
    except (EnvelopeRefused, OtherMessages):
        return
    if isinstance(found, Refusal) and not faults_of_binding(found, asking.request):
        answers.refuse(came.site, found.faulty)


def _request(
    attempt: Attempt, exchange: Exchange, sites: Sequence[SiteName], body: bytes
) -> ExchangeRequest:
    """Make an exchange's request, once; it is on disk before it is sent."""
    stored = attempt.sums.request(attempt.number, exchange)
    if stored is not None:
        return stored
    asking, context = attempt.asking, attempt.terms.context
    heads = asking.federation.heads.of(asking.roster)
    name = f"{context.run}.{context.round}.{context.purpose}-{context.attempt}-{exchange}"
    request = ExchangeRequest(
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
    later = next_of(exchange)
    request = None if later is None else attempt.sums.request(attempt.number, later)
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


def envelopes(
    attempt: Attempt, exchange: Exchange, sites: Iterable[SiteName]
) -> dict[SiteName, bytes]:
    """Return the signed envelopes that came in an exchange."""
    answers = attempt.sums.answers(attempt.number, exchange)
    return {site: answers.envelope(site) for site in sites}


class Lost(Exception):
    """Too few sites are left after an exchange."""

    def __init__(self, exchange: Exchange, left: int, needed: int) -> None:
        super().__init__(exchange)
        self.exchange: Exchange = exchange
        self.left, self.needed = left, needed


def hold(needed: int, left: Sized, at: Exchange) -> None:
    """Hold that enough sites are left after an exchange.

    Raises:
        Lost: too few are.
    """
    if len(left) < needed:
        raise Lost(at, len(left), needed)


def _fits(attempt: Attempt, request: ExchangeRequest, found: ExchangeReply, packet: Packet) -> bool:
    """Say whether a reply is about the sites that were asked, and of the size that follows."""
    size = len(packet.body)
    match found:
        case Deal():
            others = len(request.participants) - 1
            is_of_size = size == 0 if found.key is None else are_boxes(packet.body, others)
        case Ciphertexts():
            is_of_size = are_whole(packet.body, attempt.size)
        case _:
            is_of_size = size == _size_of(attempt, request, found)
    return is_of_size and _is_about_those_asked(attempt, request, found)


def _repeats(one: ExchangeReply, before: Iterable[ExchangeReply]) -> bool:
    """Say whether a site shows a key twice, or one that a site has shown before it."""
    keys, known = _keys_in(one), {key for other in before for key in _keys_in(other)}
    return len(set(keys)) != len(keys) or not known.isdisjoint(keys)


def _keys_in(found: ExchangeReply) -> tuple[PublicKey, ...]:
    match found:
        case Advert(keys=keys):
            return (keys.cipher, keys.mask)
        case Announcement(sealing=sealing):
            return (sealing,)
        case _:
            return ()


def _size_of(attempt: Attempt, request: ExchangeRequest, found: ExchangeReply) -> int:
    match found:
        case Boxes():
            return BOX_BYTES * (len(request.participants) - 1)
        case MaskedInput() | Opening():
            return attempt.size * attempt.terms.ring.dtype.itemsize
        case Unmasking():
            sharing = attempt.sums.request(attempt.number, "input")
            return SHARE_BYTES * (0 if sharing is None else len(sharing.participants))
        case _:
            return 0


def _is_about_those_asked(attempt: Attempt, request: ExchangeRequest, found: ExchangeReply) -> bool:
    asked = request.participants
    match found:
        case Boxes() | MaskedInput() | Deal():
            return found.sites == asked
        case Agreement():
            return found.survivors == asked
        case Settlement():
            return tuple(sorted(found.inputs)) == asked
        case Unmasking():
            survivors = attempt.sums.request(attempt.number, "agree")
            return survivors is not None and found.survivors == survivors.participants
        case _:
            return True
