"""This site's part in opening a sum: Bonawitz et al. 2017, doi:10.1145/3133956.3133982, figure 4.

* A pure state machine: each step takes the part as it stands and what came, and gives the part to
  keep on disk before its answer leaves. Every check is here or in `reading`.
* Who takes part, how many must, and the ring are the plan's and this node's own, in the terms.
* A part agrees to one set of survivors. It then gives of each site a share of its seed, if it is
  among them, or a share of its mask key: never both, and never again.
* Fewer than the threshold, or than the least number of survivors, and nothing goes on.
"""

import secrets
from collections.abc import Collection, Iterator, Mapping

from pydantic import Field

from hospital_node.protection.sites import hold_sites, refused
from schemas.base import Record
from schemas.names import SiteName
from schemas.protection import agreement, shamir
from schemas.protection.agreement import Hex32, PublicKeys
from schemas.protection.fixed_point import Elements
from schemas.protection.masks import Mask, add_masks
from schemas.protection.messages import Context
from schemas.protection.terms import Terms


class HeldShares(Record):
    """What this site holds of another: a share of its seed and one of its mask key."""

    seed: str
    key: str


class Part(Record):
    """One site's part in one attempt; it is secret, and erased when its attempt is over."""

    context: Context
    site: SiteName
    cipher: Hex32
    """Secret half of the key for shares."""
    mask: Hex32
    """Secret half of the key for pair masks."""
    seed: Hex32
    """Of this site's own mask."""
    keys: dict[SiteName, PublicKeys] = Field(default_factory=dict)
    """Of the sites that advertised, this one too."""
    held: dict[SiteName, HeldShares] = Field(default_factory=dict)
    """After exchange 1 its own; after exchange 2 those of all whose masks are in its value."""
    survivors: tuple[SiteName, ...] = ()
    """The set that it agreed to."""

    @property
    def public(self) -> PublicKeys:
        """What it advertises."""
        return PublicKeys(
            cipher=agreement.public(self.cipher),
            mask=agreement.public(self.mask),
            seed=agreement.commitment(self.seed, self.context.canonical()),
        )


def begun(context: Context, site: SiteName) -> Part:
    """Make fresh keys and a fresh seed for an attempt."""
    cipher, mask, seed = (secrets.token_bytes(32).hex() for _ in range(3))
    return Part(context=context, site=site, cipher=cipher, mask=mask, seed=seed)


def shared(part: Part, terms: Terms, keys: Mapping[SiteName, PublicKeys]) -> tuple[Part, bytes]:
    """Split seed and mask key among the sites that advertised; return the boxes, in name order.

    Raises:
        EnvelopeRefused: too few, an unknown site, a key that stands twice, or this site's altered.
    """
    hold_sites(part, terms, keys, least=terms.least)
    if keys[part.site] != part.public:
        raise refused("this site's own keys were altered")
    named = [key for one in keys.values() for key in (one.cipher, one.mask)]
    if len(set(named)) != len(named):
        raise refused("a key stands twice among the adverts")
    numbers = [terms.number(one) for one in keys]
    of_seed, of_key = (
        shamir.split(bytes.fromhex(one), threshold=terms.threshold, numbers=numbers)
        for one in (part.seed, part.mask)
    )
    boxes = []
    for other in sorted(keys.keys() - {part.site}):
        number, way = terms.number(other), (part.site, other)
        key = _cipher_key(part, terms, keys[other], way=way)
        pair = (of_seed[number], of_key[number])
        boxes.append(agreement.sealed_shares(pair, key=key, context=terms.bound_bytes, way=way))
    own = terms.number(part.site)
    held = {part.site: _held((of_seed[own], of_key[own]))}
    return part.model_copy(update={"keys": dict(keys), "held": held}), b"".join(boxes)


def masked(part: Part, terms: Terms, boxes: Mapping[SiteName, bytes], vector: Elements) -> Part:
    """Open what the others sealed to this site, and put this site's masks on a vector, in place.

    `boxes` are the other sites' whose shares arrived. Every box must open before any mask is made.

    Raises:
        EnvelopeRefused: too few, a site that did not advertise, or shares that do not open.
    """
    hold_sites(part, terms, {*boxes, part.site}, least=terms.least)
    if not boxes.keys() <= part.keys.keys():
        raise refused("it names a site that did not advertise")
    held = {part.site: part.held[part.site]}
    for other, box in boxes.items():
        way = (other, part.site)
        key = _cipher_key(part, terms, part.keys[other], way=way)
        held[other] = _held(
            agreement.opened_shares(box, key=key, context=terms.bound_bytes, way=way)
        )
    add_masks(vector, list(_masks(part, terms, boxes)))
    return part.model_copy(update={"held": held})


def _masks(part: Part, terms: Terms, others: Collection[SiteName]) -> Iterator[Mask]:
    """Yield this site's own mask, and those that it shares with others."""
    context = terms.bound_bytes
    yield Mask(agreement.self_seed(part.seed, context), is_added=True)
    for other in sorted(others):
        pair = (part.site, other)
        seed = agreement.pair_seed(part.mask, part.keys[other].mask, context, pair=pair)
        yield Mask(seed, is_added=terms.adds(part.site, other))


def agreed(part: Part, terms: Terms, survivors: Collection[SiteName]) -> Part:
    """Agree to the set of sites whose values are summed; a part does it once.

    Raises:
        EnvelopeRefused: another set before, too few, without this site, or with one that has no
        masks in this site's value.
    """
    ordered = tuple(sorted(survivors))
    if part.survivors and part.survivors != ordered:
        raise refused("this site agreed to another set of survivors")
    hold_sites(part, terms, survivors, least=terms.least)
    if not set(survivors) <= part.held.keys():
        raise refused("a survivor has shared nothing with this site")
    return part.model_copy(update={"survivors": ordered})


def unmasked(part: Part, terms: Terms, agreeing: Collection[SiteName]) -> bytes:
    """Return a share of every site in the input exchange, in name order.

    `agreeing` are the sites whose signed agreement to this very set of survivors was verified. What
    is left of the part is erased by the caller, on disk, before the shares leave.

    Raises:
        EnvelopeRefused: another attempt, nothing was agreed to, or too few survivors agree to the
        same set.
    """
    if part.context != terms.context:
        raise refused("it is about another attempt")
    if not part.survivors:
        raise refused("this site has agreed to no set of survivors")
    if not set(agreeing) <= set(part.survivors):
        raise refused("an agreement is of a site that did not survive")
    if len(set(agreeing)) < terms.threshold:
        raise refused(
            f"{len(set(agreeing))} sites agree to the survivors, {terms.threshold} are needed"
        )
    return b"".join(
        bytes.fromhex(one.seed if site in part.survivors else one.key)
        for site, one in sorted(part.held.items())
    )


def _cipher_key(
    part: Part, terms: Terms, other: PublicKeys, *, way: tuple[SiteName, SiteName]
) -> bytes:
    context = terms.bound_bytes
    return agreement.cipher_key(part.cipher, other.cipher, context, way=way, own=part.site)


def _held(shares: tuple[int, int]) -> HeldShares:
    seed, key = (one.to_bytes(shamir.SHARE_BYTES, "big").hex() for one in shares)
    return HeldShares(seed=seed, key=key)
