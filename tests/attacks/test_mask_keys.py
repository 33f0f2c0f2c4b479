"""An aggregator with one hospital that shows a copy of another's mask key, so that masks cancel.

Real nodes are asked; the hospital that helps, west, lends its keys.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hospital_node.policy import approved_plan
from hospital_node.protection.masking import Part
from schemas.names import SiteName
from schemas.plan import TrainingPlan
from schemas.protection import agreement, shamir
from schemas.protection.agreement import PublicKeys
from schemas.protection.fixed_point import Elements, encoded, read
from schemas.protection.masks import Mask, add_masks
from schemas.protection.messages import Advert, MaskedInput, framed, unframed
from schemas.protection.terms import Terms, share_of, terms_of
from schemas.wire.arrays import declared_layout, flat_values
from schemas.wire.envelope import kind_of, opened, signed
from tests.schemas.protection.test_agreement import flipped, with_small_point
from tests.tapped import Attacked, round_before

HONEST = ("east", "north", "south")
Copying = Callable[[str], str]


def advert_of(attacked: Attacked, site: SiteName) -> Advert:
    envelope = attacked.tapped.answers["advertise"][site].envelope
    return opened(envelope, Advert, key=attacked.embedded.nodes[site].key.public)


def with_a_copy(attacked: Attacked, copying: Copying) -> bytes:
    """Return the adverts, west's with a copy of east's mask key; west has signed it."""
    west = advert_of(attacked, "west")
    copy = copying(advert_of(attacked, "east").keys.mask)
    keys = PublicKeys.model_construct(**(west.keys.model_dump() | {"mask": copy}))
    lent = signed(west.model_copy(update={"keys": keys}), attacked.embedded.nodes["west"].key)
    return framed([*unframed(attacked.packet.body)[:3], lent])


def agreed_terms(attacked: Attacked) -> tuple[TrainingPlan, Terms]:
    node, request = attacked.embedded.nodes["east"], attacked.request()
    plan, _ = approved_plan(node.home, request.plan, site="east")
    return plan, terms_of(plan, request.context)


def boxes_of_west(attacked: Attacked, terms: Terms) -> bytes:
    """Seal shares of nothing to the three others, as west can."""
    own = part_of(attacked, "west").cipher
    shares = shamir.split(bytes(32), threshold=terms.threshold, numbers=range(1, 5))
    context, boxes = terms.bound_bytes, b""
    for site in HONEST:
        other, way = advert_of(attacked, site).keys.cipher, ("west", site)
        key = agreement.cipher_key(own, other, context, way=way, own="west")
        pair = (shares[terms.number(site)],) * 2
        boxes += agreement.sealed_shares(pair, key=key, context=context, way=way)
    return boxes


def part_of(attacked: Attacked, site: SiteName) -> Part:
    (path,) = attacked.embedded.nodes[site].home.sums.rglob("part.json")
    return Part.from_stored(path.read_bytes(), what="a part")


def value_of(attacked: Attacked, site: SiteName, plan: TrainingPlan, terms: Terms) -> Elements:
    """Return what a site encodes, from its own disk."""
    (path,) = attacked.embedded.nodes[site].home.sums.rglob("value")
    content = path.read_bytes()[71:]
    values = flat_values(content, declared_layout(content))
    return encoded(values, terms.ring, share=share_of(plan, site))


def test_a_key_with_a_second_spelling_is_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        attacked.refused("2^255 - 19", body=with_a_copy(attacked, flipped))
        attacked.refused("2^255 - 19", site="north", body=with_a_copy(attacked, flipped))
        attacked.refused("a key stands twice", body=with_a_copy(attacked, str))
        assert attacked.answered("east", attacked.packet).body


def test_a_key_with_a_small_point_added_cancels_no_masks(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        plan, terms = agreed_terms(attacked)
        adverts = with_a_copy(attacked, with_small_point)
        boxes = {one: attacked.asked(one, body=adverts).body for one in HONEST}
        body = framed([*boxes.values(), boxes_of_west(attacked, terms)])
        total = np.zeros(0, terms.ring.dtype)
        for site in HONEST:
            reply = attacked.asked(site, body=body, exchange="input", request="input")
            assert kind_of(reply.envelope) == MaskedInput.__name__
            if site != "east":
                value = read(reply.body, terms.ring)
                total = total + value if total.size else value.copy()
        # What unmasking tells of sites that survive: their own masks come off.
        own = [
            agreement.self_seed(part_of(attacked, one).seed, terms.bound_bytes)
            for one in ("north", "south")
        ]
        add_masks(total, [Mask(seed, is_added=False) for seed in own])
        plain = value_of(attacked, "north", plan, terms) + value_of(attacked, "south", plan, terms)
        # East's masks in both and west's would cancel if one secret gave one seed.
        assert np.count_nonzero(total == plain) < plain.size / 2
