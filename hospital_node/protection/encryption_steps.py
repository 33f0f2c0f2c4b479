"""This site's five steps of encryption: what came, held against its part, and what it answers.

* Announcements, key, inputs and settlements are the sites' own, signed for this very attempt; what
  the aggregator says of them counts for nothing.
* This site adds up the signed inputs itself, and decrypts what it added up.
* Ciphertexts are computed on in a process apart.
"""

from collections.abc import Iterator

from hospital_node.protection import apart, encryption
from hospital_node.protection.given import give
from hospital_node.protection.key_room import KeyRoom
from hospital_node.protection.sites import refused
from hospital_node.protection.step import Step, verified, verified_words
from schemas.names import Digest, SiteName, digest_of
from schemas.protection.ciphertexts import are_whole, hold_settled
from schemas.protection.messages import (
    Announcement,
    Ciphertexts,
    Deal,
    Opening,
    Settlement,
    framed,
    unframed,
)
from schemas.protection.terms import share_of
from schemas.wire.arrays import declared_layout, flat_values
from schemas.wire.envelope import signed
from schemas.wire.packet import Packet

_DEALT = 2
"""Parts beside a request to encrypt: the deal and its boxes."""


def announced(step: Step) -> Packet:
    """Begin an attempt with a fresh key to seal to."""
    step.room.value(step.request.model)
    if step.room.has_opened(step.request.run):
        raise refused("this site has opened a sum of this round already")
    room = KeyRoom(step.room)
    part = encryption.begun(step.request.context, step.site, before=room.part_before())
    room.keep_part(part)
    return Packet(signed(Announcement(**step.bound, sealing=part.public), step.node.key))


def dealt(step: Step) -> Packet:
    """Make the attempt's key, where it is this site's to make, and seal it to the others."""
    room, sites = KeyRoom(step.room), step.request.participants
    part, key, boxes = room.part(), None, b""
    words = verified_words(step, sites, Announcement)
    keys = {one.site: one.sealing for one in words}
    encryption.hold_announced(part, step.terms, keys)
    if encryption.dealer_of(keys) == step.site:
        secret = apart.new_key()
        boxes = encryption.dealt(part, step.terms, keys, secret)
        key = room.keep_key(secret)
    reply = Deal(
        **step.bound,
        sites=tuple(sorted(keys)),
        sealing=part.public,
        key=key,
        arrays=digest_of(boxes),
    )
    return Packet(signed(reply, step.node.key), boxes)


def encrypted(step: Step) -> Packet:
    """Encrypt this site's value under the key that was dealt."""
    room = KeyRoom(step.room)
    deal, key = _dealt_key(step, room)
    part = encryption.holding(room.part(), step.terms, deal.sites, key=key, named=deal.key or "")
    value = step.room.value(step.request.model)
    values = encryption.scaled(
        flat_values(value, declared_layout(value)),
        step.terms.ring.bound,
        share=share_of(step.plan, step.site),
    )
    hold_settled(values.size, sites=len(step.terms.sites))
    body = framed(apart.encrypted(key, values))
    room.keep_key(key)
    own = digest_of(body)
    room.keep_part(part.model_copy(update={"own": own}))
    reply = Ciphertexts(**step.bound, key=digest_of(key), arrays=own)
    return Packet(signed(reply, step.node.key), body)


def _dealt_key(step: Step, room: KeyRoom) -> tuple[Deal, bytes]:
    """Return what the first site signed, and the key that it made."""
    dealer = encryption.dealer_of(step.request.participants)
    if len(step.parts) != _DEALT:
        raise refused("what came is not one deal and its boxes")
    deal = verified(step, dealer, step.parts[0], Deal)
    if digest_of(step.parts[1]) != deal.arrays or deal.key is None:
        raise refused("the boxes are not those that their maker signed")
    if dealer == step.site:
        return deal, room.key(deal.key)
    part = room.part()
    box = encryption.box_for(step.site, deal.sites, step.parts[1])
    way = (dealer, deal.sealing)
    return deal, encryption.opened_key(part, step.terms, dealer=way, box=box)


def settled(step: Step) -> Packet:
    """Add up the signed inputs, and agree to their sum."""
    room = KeyRoom(step.room)
    part = room.part()
    size = _size(step)
    bodies = dict(_inputs(step, part.key, size))
    inputs = {site: digest_of(body) for site, body in bodies.items()}
    encryption.hold_inputs(part, step.terms, inputs)
    columns = {site: unframed(body) for site, body in bodies.items()}
    total = framed(apart.summed(columns, size))
    part = encryption.agreed(part, step.terms, inputs, total=digest_of(total))
    give(step.node, step.request, tuple(inputs))
    room.keep_total(total)
    room.keep_part(part)
    reply = Settlement(**step.bound, inputs=part.inputs, total=digest_of(total))
    return Packet(signed(reply, step.node.key))


def _inputs(step: Step, key: Digest | None, size: int) -> Iterator[tuple[SiteName, bytes]]:
    """Yield each site's ciphertexts of so many values, as it signed them for this attempt's key.

    Raises:
        EnvelopeRefused: some are not what their site signed, or under another key.
        PartRefused: some are not as many, or as long, as those of so many values.
    """
    sites = step.request.participants
    if len(set(sites)) != len(sites) or len(step.parts) != 2 * len(sites):
        raise refused("what came is not one signed input of each site")
    pairs = zip(sites, step.parts[::2], step.parts[1::2], strict=True)
    for site, envelope, body in pairs:
        found = verified(step, site, envelope, Ciphertexts)
        if digest_of(body) != found.arrays:
            raise refused(f"the ciphertexts of {site} are not those that it signed")
        if found.key != key:
            raise refused(f"{site} has encrypted under another key")
        if not are_whole(body, size):
            raise apart.malformed(site)
        yield site, body


def opened(step: Step) -> Packet:
    """Decrypt the sum that this site added up, since enough have signed the same."""
    room = KeyRoom(step.room)
    part = room.part()
    words = verified_words(step, step.request.participants, Settlement)
    total = encryption.hold_agreements(
        part, step.terms, {one.site: (one.inputs, one.total) for one in words}
    )
    content = unframed(room.total(total))
    values = apart.decrypted(room.key(part.key), content, _size(step))
    body = encryption.rounded(values, step.terms.ring).tobytes()
    reply = Opening(**step.bound, total=total, arrays=digest_of(body))
    return Packet(signed(reply, step.node.key), body)


def _size(step: Step) -> int:
    """Return the number of values in a sum: as many as in this site's own."""
    value = step.room.value(step.request.model)
    return flat_values(value, declared_layout(value)).size
