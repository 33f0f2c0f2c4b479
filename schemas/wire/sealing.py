"""Replies sealed to the aggregator: whoever carries one learns its length and its sender alone.

* Each time that a request is sent the aggregator makes a fresh X25519 key, signs it together with
  the request's digest, and keeps its secret half in memory only: what is on disk, or stolen later,
  opens no reply. Each reply has a fresh key of its own.
* The key of the cipher is HKDF-SHA256 over the shared secret (RFC 5869), bound to both public keys,
  the request and the site.
* ChaCha20-Poly1305 (RFC 8439) in chunks, each under its number and whether it is the last one: a
  chunk cannot be dropped, repeated or moved (STREAM, Hoang et al. 2015).
* The sender signs recipient and ciphertext by digest, so nobody can put a name to another's bytes.
"""

from typing import Annotated, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import StringConstraints

from schemas.base import Record
from schemas.errors import EnvelopeRefused
from schemas.names import Digest, Name, SiteName
from schemas.wire.version import MESSAGES_VERSION, MessagesVersion

SealingKey: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""The 32 bytes of an X25519 public key (RFC 7748), in hexadecimal."""

CHUNK_BYTES = 2**24
"""Of what is sealed at a time: most replies are one chunk, and are not copied together again."""
_TAG_BYTES = 16
_PURPOSE = b"consilium sealed reply 1"


class Recipient(Record):
    """The aggregator names the key that replies to one request are sealed to."""

    version: MessagesVersion = MESSAGES_VERSION
    federation: Name
    request: Digest
    """Of the request's envelope."""
    key: SealingKey


class SealedReply(Record):
    """A site vouches for a sealed reply."""

    version: MessagesVersion = MESSAGES_VERSION
    federation: Name
    request: Digest
    site: SiteName
    recipient: SealingKey
    sender: SealingKey
    """Made for this reply alone."""
    ciphertext: Digest


def public(key: X25519PrivateKey) -> SealingKey:
    """Name the public half of a key."""
    return key.public_key().public_bytes_raw().hex()


def sealed(content: bytes, recipient: Recipient, *, site: SiteName) -> tuple[SealingKey, bytes]:
    """Seal bytes of a site to a recipient; return the key made for them, and the ciphertext.

    Raises:
        EnvelopeRefused: the recipient's key is no usable one.
    """
    own = X25519PrivateKey.generate()
    sender = public(own)
    cipher = _cipher(own, recipient.key, recipient, sender=sender, site=site)
    view, parts = memoryview(content), []
    for number, start in enumerate(range(0, max(len(view), 1), CHUNK_BYTES)):
        is_last = start + CHUNK_BYTES >= len(view)
        chunk = view[start : start + CHUNK_BYTES]
        parts.append(cipher.encrypt(_nonce(number, is_last=is_last), chunk, None))
    return sender, b"".join(parts)


def unsealed(
    ciphertext: bytes,
    key: X25519PrivateKey,
    recipient: Recipient,
    *,
    sender: SealingKey,
    site: SiteName,
) -> bytes:
    """Open what a site sealed to this key for this request.

    Raises:
        EnvelopeRefused: sealed otherwise, or changed on the way.
    """
    cipher = _cipher(key, sender, recipient, sender=sender, site=site)
    view, parts, step = memoryview(ciphertext), [], CHUNK_BYTES + _TAG_BYTES
    try:
        for number, start in enumerate(range(0, max(len(view), 1), step)):
            is_last = start + step >= len(view)
            chunk = view[start : start + step]
            parts.append(cipher.decrypt(_nonce(number, is_last=is_last), chunk, None))
    except InvalidTag:
        message = "reply refused: it is sealed to another key, or was changed on the way"
        raise EnvelopeRefused(message, next_step="ask the site to answer again") from None
    return b"".join(parts)


def _cipher(
    own: X25519PrivateKey,
    other: SealingKey,
    recipient: Recipient,
    *,
    sender: SealingKey,
    site: SiteName,
) -> ChaCha20Poly1305:
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(other)))
    except ValueError:  # a point of small order: the secret would be the same for every key
        message = "message refused: its X25519 key is not usable"
        raise EnvelopeRefused(message, next_step="ask the other side to send again") from None
    bound = f"{recipient.federation} {recipient.request} {site}".encode()
    salt = bytes.fromhex(recipient.key) + bytes.fromhex(sender)
    derived = HKDF(SHA256(), 32, salt=salt, info=_PURPOSE + b" " + bound).derive(shared)
    return ChaCha20Poly1305(derived)


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
