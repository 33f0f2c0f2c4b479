"""This site's five steps of masking: what came, held against its part, and what it answers.

* Adverts and agreements are the sites' own, signed for this very attempt; what the aggregator says
  of them counts for nothing.
"""

import numpy as np

from hospital_node.protection import masking
from hospital_node.protection.given import give, hold_sum
from hospital_node.protection.sites import refused
from hospital_node.protection.step import Step, verified_words
from schemas.names import SiteName, digest_of
from schemas.protection.agreement import BOX_BYTES, PublicKeys
from schemas.protection.fixed_point import Elements, encoded, encoded_counts
from schemas.protection.messages import Advert, Agreement, Boxes, MaskedInput, Unmasking
from schemas.protection.terms import share_of
from schemas.update import Histogram
from schemas.wire.arrays import declared_layout, flat_values
from schemas.wire.envelope import signed
from schemas.wire.packet import Packet


def advertised(step: Step) -> Packet:
    """Begin an attempt with fresh keys."""
    step.room.value(step.request.model)
    if step.room.has_opened(step.request.run):
        raise refused("this site has unmasked a sum of this round already")
    if step.room.has_part() and step.room.part().context.attempt > step.request.attempt:
        raise refused("a later attempt has begun already")
    part = masking.begun(step.request.context, step.site)
    step.room.keep_part(part)
    return Packet(signed(Advert(**step.bound, keys=part.public), step.node.key))


def shared(step: Step) -> Packet:
    """Share seed and mask key with those whose signed adverts came."""
    sites, keys = step.request.participants, dict[SiteName, PublicKeys]()
    for site, advert in zip(sites, verified_words(step, sites, Advert), strict=True):
        keys[site] = advert.keys
    part, boxes = masking.shared(step.room.part(), step.terms, keys)
    step.room.keep_part(part)
    reply = Boxes(**step.bound, sites=tuple(sorted(keys)), arrays=digest_of(boxes))
    return Packet(signed(reply, step.node.key), boxes)


def given(step: Step) -> Packet:
    """Put this site's value under its masks."""
    part, sites = step.room.part(), step.request.participants
    if len(step.parts) != len(set(sites)):
        raise refused("the boxes that came are not one set of each site")
    boxes = {}
    for site, content in zip(sites, step.parts, strict=True):
        others = sorted(part.keys.keys() - {site})
        if site != step.site and step.site in others:
            start = BOX_BYTES * others.index(step.site)
            boxes[site] = content[start : start + BOX_BYTES]
    vector = _vector(step)
    part = masking.masked(part, step.terms, boxes, vector)
    step.room.keep_part(part)
    body = vector.tobytes()
    reply = MaskedInput(**step.bound, sites=tuple(sorted(part.held)), arrays=digest_of(body))
    return Packet(signed(reply, step.node.key), body)


def agreed(step: Step) -> Packet:
    """Agree to the survivors, once."""
    hold_sum(step.node, step.request, step.request.participants)
    part = masking.agreed(step.room.part(), step.terms, step.request.participants)
    step.room.keep_part(part)
    return Packet(signed(Agreement(**step.bound, survivors=part.survivors), step.node.key))


def unmasked(step: Step) -> Packet:
    """Give one share of each site, since enough have signed the same survivors."""
    part, sites = step.room.part(), step.request.participants
    for one in verified_words(step, sites, Agreement):
        if one.survivors != part.survivors:
            raise refused(f"{one.site} has agreed to another set of survivors than this site")
    give(step.node, step.request, part.survivors)
    shares = masking.unmasked(part, step.terms, sites)
    reply = Unmasking(**step.bound, survivors=part.survivors, arrays=digest_of(shares))
    return Packet(signed(reply, step.node.key), shares)


def _vector(step: Step) -> Elements:
    """Encode this site's value."""
    value = step.room.value(step.request.model)
    if step.request.purpose == "evaluate":
        counts = Histogram.from_stored(value, what="this site's histogram").counts
        return encoded_counts(np.array(counts, dtype=np.int64).reshape(-1))
    values = flat_values(value, declared_layout(value))
    return encoded(values, step.terms.ring, share=share_of(step.plan, step.site))
