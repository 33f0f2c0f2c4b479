"""Keys that two sites agree on over a relay that neither trusts: X25519, HKDF, ChaCha20-Poly1305.

* A site has two X25519 keys (RFC 7748), made for one attempt: one to agree on pair masks, one to
  agree on the ciphers for shares. Neither outlives the round.
* Every derived key is HKDF-SHA256 (RFC 5869) over the shared secret with the attempt's context, a
  purpose, and both sites with their public keys: many public keys give one shared secret (RFC 7748,
  section 6.1), so a key for one attempt, purpose or pair of sites is none for another.
* A public key has one spelling: non-canonical ones and points of small order are no keys here.
* Shares travel under ChaCha20-Poly1305 (RFC 8439), whose associated data are context, sender and
  receiver: one that was moved, replayed or changed does not open.
"""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Annotated, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AfterValidator, StringConstraints

from schemas.base import Record
from schemas.errors import EnvelopeRefused, PartRefused
from schemas.names import SiteName
from schemas.protection.shamir import SHARE_BYTES

Hex32: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""32 bytes in hexadecimal: the secret half of an X25519 key, or a seed."""

_FIELD = 2**255 - 19


def usable(key: str) -> str:
    """Return a public key that is the one spelling of a point of large order.

    Raises:
        ValueError: it is not below 2^255 - 19, which X25519 would read as another key's copy, or it
        has one shared secret with every key.
    """
    content = bytes.fromhex(key)
    if int.from_bytes(content, "little") >= _FIELD:
        message = "an X25519 key is below 2^255 - 19"
        raise ValueError(message)
    _PROBE.exchange(X25519PublicKey.from_public_bytes(content))
    return key


_PROBE = X25519PrivateKey.from_private_bytes(bytes(32))
"""Clamped like every secret, so its product with a point of small order is zero."""

PublicKey: TypeAlias = Annotated[Hex32, AfterValidator(usable)]
"""The public half of an X25519 key."""

_NONCE_BYTES = 12
"""Drawn for each box: a home that was put back to before it shared would seal twice with a key."""

BOX_BYTES = _NONCE_BYTES + 2 * SHARE_BYTES + 16
"""A nonce, and a sealed pair of shares."""


class PublicKeys(Record):
    """What a site shows of its secrets: the public halves of two keys, and its seed's digest.

    What is rebuilt from shares is held against it: a share that was altered by a little gives a
    secret that looks like one.
    """

    cipher: PublicKey
    mask: PublicKey
    seed: Hex32


def public(secret: Hex32) -> PublicKey:
    """Return the public half of an X25519 key."""
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    return key.public_key().public_bytes_raw().hex()


def commitment(seed: Hex32, context: bytes) -> Hex32:
    """Return the digest that commits a site to its seed, and tells nothing of it."""
    content = b"consilium masking 1 seed" + context + bytes.fromhex(seed)
    return hashlib.sha256(content).hexdigest()


def self_seed(seed: Hex32, context: bytes) -> bytes:
    """Return the seed of a site's own mask."""
    return _derived(bytes.fromhex(seed), b"self", context)


def pair_seed(
    secret: Hex32, other: PublicKey, context: bytes, *, pair: tuple[SiteName, SiteName]
) -> bytes:
    """Return the seed of the mask that two sites share; `secret` is of the first of `pair`.

    Raises:
        EnvelopeRefused: the other's key is no usable one.
    """
    ends = sorted(zip(pair, (public(secret), other), strict=True))
    return _derived(_exchanged(secret, other), b"pair", context + _named(ends))


def sealed_shares(
    shares: tuple[int, int], *, key: bytes, context: bytes, way: tuple[SiteName, SiteName]
) -> bytes:
    """Seal a share of a seed and one of a mask key; `way` is sender and receiver."""
    content = b"".join(one.to_bytes(SHARE_BYTES, "big") for one in shares)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, content, _bound(context, way))


def opened_shares(
    box: bytes, *, key: bytes, context: bytes, way: tuple[SiteName, SiteName]
) -> tuple[int, int]:
    """Open what a site sealed to this one.

    Raises:
        PartRefused: sealed otherwise, or changed on the way.
    """
    nonce, sealed = box[:_NONCE_BYTES], box[_NONCE_BYTES:]
    try:
        content = ChaCha20Poly1305(key).decrypt(nonce, sealed, _bound(context, way))
    except (InvalidTag, ValueError):
        message = f"request refused: the shares of {way[0]} for {way[1]} do not open"
        next_step = "the aggregator must hand on what the site sent, unchanged"
        raise PartRefused(message, site=way[0], next_step=next_step) from None
    seed, mask = content[:SHARE_BYTES], content[SHARE_BYTES:]
    return int.from_bytes(seed, "big"), int.from_bytes(mask, "big")


def cipher_key(
    secret: Hex32,
    other: PublicKey,
    context: bytes,
    *,
    way: tuple[SiteName, SiteName],
    own: SiteName,
) -> bytes:
    """Return the key that seals from the first of `way` to the second; `secret` is of `own`.

    Raises:
        EnvelopeRefused: the other's key is no usable one.
    """
    keys = (public(secret), other) if own == way[0] else (other, public(secret))
    ends = _named(zip(way, keys, strict=True))
    return _derived(_exchanged(secret, other), b"shares", context + ends)


def _exchanged(secret: Hex32, other: PublicKey) -> bytes:
    own = X25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(other)))
    except ValueError:  # a point of small order: the secret would be the same for every key
        message = "request refused: a site's X25519 key is not usable"
        raise EnvelopeRefused(message, next_step="ask the site to take part again") from None


def _named(ends: Iterable[tuple[SiteName, PublicKey]]) -> bytes:
    return "".join(f" {site} {key}" for site, key in ends).encode()


def _derived(secret: bytes, purpose: bytes, context: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"consilium masking 1 " + purpose + context).derive(
        secret
    )


def _bound(context: bytes, way: tuple[SiteName, SiteName]) -> bytes:
    return context + f" {way[0]} {way[1]}".encode()
