"""Ed25519 signing keys (RFC 8032).

* A private key is made on the machine that uses it and never leaves it; its file has mode 0600.
* Small-order public keys are refused when a key is registered: with one, a signature can fit many
  messages.
"""

import base64
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from schemas.errors import EnvelopeRefused, HomeRefused
from schemas.files import read_private, write_durably
from schemas.names import PublicKey

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


class SigningKey:
    """A private key; it signs, names itself, and shows nothing when printed."""

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> "SigningKey":
        """Make a new key from the system's generator."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read a key file.

        Raises:
            HomeRefused: missing, readable by others, or not 32 bytes of base64.
        """
        try:
            raw = base64.b64decode(read_private(path).strip(), validate=True)
            return cls(Ed25519PrivateKey.from_private_bytes(raw))
        except ValueError:
            message = f"key refused: {path.name} does not hold an Ed25519 key in base64"
            raise HomeRefused(message, next_step="restore it from a backup") from None

    def save(self, path: Path) -> None:
        """Write the key file with mode 0600."""
        raw = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        write_durably(path, base64.b64encode(raw) + b"\n", mode=0o600)

    @property
    def public(self) -> PublicKey:
        """The public half, as it stands in a roster."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature."""
        return self._key.sign(message)


def registered(key: PublicKey) -> PublicKey:
    """Return a key that may enter a roster.

    Raises:
        EnvelopeRefused: not a point in canonical form, or one of small order.
    """
    raw = base64.b64decode(key)
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _P or _has_small_order(y) or not _is_on_curve(y):
        message = (
            "key refused: its encoding is not canonical, its order is small, or it is no point"
        )
        raise EnvelopeRefused(message, next_step="make a new key pair")
    return key


def _has_small_order(y: int) -> bool:
    """Say whether the order divides 8: y of the point is 1, -1 or 0, or y of its double is 0.

    The doubled y is 0 where x^2 = -y^2, which in the curve's equation leaves d y^4 + 2 y^2 = 1.
    """
    return y in {0, 1, _P - 1} or (_D * y**4 + 2 * y**2 - 1) % _P == 0


def _is_on_curve(y: int) -> bool:
    """Say whether x^2 = (y^2 - 1) / (d y^2 + 1) has a root (RFC 8032, 5.1.3), by Euler's criterion.

    A quotient is a square exactly when the product is.
    """
    return pow((y * y - 1) * (_D * y * y + 1), (_P - 1) // 2, _P) == 1


def is_signed(message: bytes, signature: bytes, key: PublicKey) -> bool:
    """Say whether the signature over the message is of this key."""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
