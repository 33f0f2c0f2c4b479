"""This site's part in a sum under encryption: whose key, which ciphertexts, and the one decryption.

* A pure state machine, as in `masking`: the part is on disk before an answer made of it leaves.
* The first of the sites that announce themselves makes a key for this one attempt and seals it to
  each of the others. The aggregator carries the boxes and can open none.
* A site decrypts one thing in a round: a sum that it added up itself, of signed inputs of at least
  `least` sites, this one's own among them, which at least `threshold` of them have signed to be
  the sum that they added up too. Nothing that is handed in as a sum is ever read.
* A site agrees to one sum in a round, whatever the attempt. Two different ones would need more than
  all sites: 2 t > n. So no difference of two sums tells a single update.
* What leaves is rounded to the plan's step: the exact decryption would tell who holds the
  ciphertexts the key (Li and Micciancio 2021, doi:10.1007/978-3-030-77870-5_23).
"""

import secrets
from collections.abc import Collection, Mapping

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from numpy.typing import NDArray
from pydantic import Field

from hospital_node.protection.sites import hold_sites, refused
from schemas.base import Record
from schemas.errors import ArraysRefused
from schemas.names import Digest, SiteName, digest_of
from schemas.protection import agreement
from schemas.protection.agreement import Hex32
from schemas.protection.fixed_point import Elements, Ring
from schemas.protection.messages import Context
from schemas.protection.terms import Terms

_NONCE_BYTES = 12


class CipherPart(Record):
    """One site's part in one attempt; secret until its attempt is over, and erased then."""

    context: Context
    site: SiteName
    secret: Hex32
    """Secret half of the X25519 key that the attempt's key is sealed to."""
    key: Digest | None = None
    """Of the attempt's key."""
    own: Digest | None = None
    """Of this site's own ciphertexts."""
    inputs: dict[SiteName, Digest] = Field(default_factory=dict)
    """By site, the ciphertexts in the one sum that this site agreed to."""
    total: Digest | None = None
    """Of that sum, as this site added it up."""

    @property
    def public(self) -> Hex32:
        """What it announces."""
        return agreement.public(self.secret)


def begun(context: Context, site: SiteName, *, before: CipherPart | None) -> CipherPart:
    """Take part in an attempt with a fresh key.

    Raises:
        EnvelopeRefused: this site agreed to a sum of this round, or took part in a later attempt.
    """
    if before is not None and before.total is not None:
        raise refused("this site has agreed to a sum of this round already")
    if before is not None and before.context.attempt > context.attempt:
        raise refused("a later attempt has begun already")
    return CipherPart(context=context, site=site, secret=secrets.token_bytes(32).hex())


def hold_announced(part: CipherPart, terms: Terms, announced: Mapping[SiteName, Hex32]) -> None:
    """Hold the sites that announced themselves against the plan.

    Raises:
        EnvelopeRefused: too few, an unknown site, this site's own announcement altered, or a key
        that stands twice.
    """
    hold_sites(part, terms, announced, least=terms.least)
    if announced[part.site] != part.public:
        raise refused("this site's own announcement was altered")
    if len(set(announced.values())) != len(announced):
        raise refused("a key stands twice among the announcements")


def dealt(part: CipherPart, terms: Terms, announced: Mapping[SiteName, Hex32], key: bytes) -> bytes:
    """Seal the attempt's key to each other site; return the boxes, in name order.

    Raises:
        EnvelopeRefused: it is not this site's to deal, or the announcements do not hold.
    """
    hold_announced(part, terms, announced)
    if dealer_of(announced) != part.site:
        raise refused("the key is another site's to make")
    boxes = []
    for other in sorted(announced.keys() - {part.site}):
        cipher = _cipher(part, terms, announced[other], way=(part.site, other))
        # A home that is put back to before this seals another key under the same cipher's key.
        nonce = secrets.token_bytes(_NONCE_BYTES)
        boxes.append(nonce + cipher.encrypt(nonce, key, terms.bound_bytes))
    return b"".join(boxes)


def dealer_of(sites: Collection[SiteName]) -> SiteName:
    """Return who makes the key for these sites."""
    return min(sites)


def box_for(site: SiteName, sites: Collection[SiteName], boxes: bytes) -> bytes:
    """Return the box for one of the sites that a key was dealt to; they are of one size.

    Raises:
        EnvelopeRefused: it was dealt to others.
    """
    others = sorted(set(sites) - {dealer_of(sites)})
    if site not in others:
        raise refused("the key was dealt to other sites")
    size = len(boxes) // len(others)
    place = others.index(site)
    return boxes[size * place : size * (place + 1)]


def opened_key(
    part: CipherPart, terms: Terms, *, dealer: tuple[SiteName, Hex32], box: bytes
) -> bytes:
    """Open the box with the attempt's key; `dealer` is who sealed it, and with which key.

    Raises:
        EnvelopeRefused: sealed otherwise, for another attempt or site, or changed on the way.
    """
    cipher = _cipher(part, terms, dealer[1], way=(dealer[0], part.site))
    try:
        return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], terms.bound_bytes)
    except (InvalidTag, ValueError):
        raise refused(f"the key that {dealer[0]} made does not open here") from None


def holding(
    part: CipherPart, terms: Terms, sites: Collection[SiteName], *, key: bytes, named: Digest
) -> CipherPart:
    """Take the key that was dealt to these sites; `named` is the digest that its maker signed.

    Raises:
        EnvelopeRefused: too few, an unknown site, or another key than its maker signed.
    """
    hold_sites(part, terms, sites, least=terms.least)
    if digest_of(key) != named:
        raise refused("the key is not the one that its maker signed")
    return part.model_copy(update={"key": named})


def scaled(values: NDArray[np.float32], bound: float, *, share: float) -> NDArray[np.float64]:
    """Return values times this site's share of the mean, ready to be encrypted.

    Raises:
        ArraysRefused: a value is not finite, or over the bound.
    """
    if values.size and not (float(values.max()) <= bound and float(values.min()) >= -bound):
        message = f"values refused: one is not finite or over {bound:g}, the plan's bound"
        next_step = "tell the study lead; a smaller learning rate or a larger bound may mend it"
        raise ArraysRefused(message, next_step=next_step)
    return np.multiply(values, share, dtype=np.float64)


def hold_inputs(part: CipherPart, terms: Terms, inputs: Mapping[SiteName, Digest]) -> None:
    """Hold the inputs of a sum against the plan, before they are added up.

    Each is known to be signed by its site for this attempt and under this attempt's key.

    Raises:
        EnvelopeRefused: too few, an unknown site, this site's own altered, or one that stands
        twice.
    """
    hold_sites(part, terms, inputs, least=terms.least)
    if inputs[part.site] != part.own:
        raise refused("this site's own ciphertexts were altered")
    if len(set(inputs.values())) != len(inputs):
        raise refused("the same ciphertexts stand twice among the inputs")


def agreed(
    part: CipherPart, terms: Terms, inputs: Mapping[SiteName, Digest], *, total: Digest
) -> CipherPart:
    """Agree to the sum that this site added up of these inputs, once in a round.

    Raises:
        EnvelopeRefused: another sum before, or the inputs do not hold.
    """
    hold_inputs(part, terms, inputs)
    if part.total is not None and (part.inputs, part.total) != (dict(inputs), total):
        raise refused("this site agreed to another sum of this round")
    return part.model_copy(update={"inputs": dict(inputs), "total": total})


def hold_agreements(
    part: CipherPart,
    terms: Terms,
    agreements: Mapping[SiteName, tuple[Mapping[SiteName, Digest], Digest]],
) -> Digest:
    """Return the digest of the one sum that may be decrypted: this site's own.

    `agreements` are the inputs that each site has signed to have added up, and their sum.

    Raises:
        EnvelopeRefused: nothing was agreed to, an agreement is of a site that is not in the sum or
        to another sum, or they are too few.
    """
    if part.context != terms.context:
        raise refused("it is about another attempt")
    if part.total is None:
        raise refused("this site has agreed to no sum")
    if not agreements.keys() <= part.inputs.keys():
        raise refused("an agreement is of a site that is not in the sum")
    for site, (inputs, total) in agreements.items():
        if dict(inputs) != part.inputs:
            raise refused(f"{site} has agreed to the sum of other inputs")
        if total != part.total:
            raise refused(f"{site} has added the same inputs up to another sum")
    if len(agreements) < terms.threshold:
        raise refused(f"{len(agreements)} sites agree to the sum, {terms.threshold} are needed")
    return part.total


def rounded(values: NDArray[np.float64], ring: Ring) -> Elements:
    """Round an opened sum to the plan's step, as elements of the ring.

    Raises:
        ArraysRefused: a value is over what sites within the bound can add up to.
    """
    most = ring.bound + ring.step
    if values.size and not (float(values.max()) <= most and float(values.min()) >= -most):
        message = f"sum refused: it holds a value over {ring.bound:g}, the plan's bound of a mean"
        next_step = "a site has encrypted under another key, or has not kept to the plan"
        raise ArraysRefused(message, next_step=next_step)
    whole = np.rint(np.ldexp(values, ring.fraction_bits))
    signed = whole.astype(np.int64).view(np.uint64)
    return signed.astype("<u4") if ring.bits == 32 else signed  # noqa: PLR2004 - or 64


def _cipher(
    part: CipherPart, terms: Terms, other: Hex32, *, way: tuple[SiteName, SiteName]
) -> ChaCha20Poly1305:
    context = b"encryption " + terms.bound_bytes
    key = agreement.cipher_key(part.secret, other, context, way=way, own=part.site)
    return ChaCha20Poly1305(key)
