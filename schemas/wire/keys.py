"""Ed25519 signing keys (RFC 8032).

* A private key is made on the machine that uses it and never leaves it; its file has mode 0600.
* A public key is checked when it is registered.
"""

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from schemas.errors import EnvelopeRefused, HomeRefused
from schemas.files import read_private, write_durably
from schemas.names import PublicKey
from schemas.wire.key_files import read_key, write_key
from schemas.wire.signatures import is_sound

_FORMER = "former"


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
            HomeRefused: missing, readable by others, not 32 bytes of base64, or under a passphrase
            that was not given.
        """
        try:
            raw = base64.b64decode(read_key(path).strip(), validate=True)
            return cls(Ed25519PrivateKey.from_private_bytes(raw))
        except ValueError:
            message = f"key refused: {path.name} does not hold an Ed25519 key in base64"
            raise HomeRefused(message, next_step="restore it from a backup") from None

    def save(self, path: Path) -> None:
        """Write the key file with mode 0600, under the passphrase if its folder is locked."""
        raw = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        write_key(path, base64.b64encode(raw) + b"\n")

    @property
    def public(self) -> PublicKey:
        """The public half, as it stands in a roster."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature."""
        return self._key.sign(message)


def former_keys(folder: Path) -> tuple[PublicKey, ...]:
    """Return the public halves of the keys that were replaced in a folder of keys.

    Raises:
        HomeRefused: the list is readable by others, or no text.
    """
    path = folder / _FORMER
    try:
        return tuple(read_private(path).decode("ascii").split()) if path.exists() else ()
    except UnicodeDecodeError:
        message = f"key refused: {_FORMER} holds no public keys"
        raise HomeRefused(message, next_step="restore it from a backup") from None


def retire(folder: Path, key: PublicKey) -> None:
    """Remember a key that is about to be replaced: its owner's own files were signed by it."""
    known = former_keys(folder)
    if key not in known:
        content = "".join(f"{one}\n" for one in (*known, key))
        write_durably(folder / _FORMER, content.encode(), mode=0o600)


def registered(key: PublicKey) -> PublicKey:
    """Return a key that may enter a roster.

    Raises:
        EnvelopeRefused: not a point in canonical form, or one of small order.
    """
    if not is_sound(key):
        message = (
            "key refused: its encoding is not canonical, its order is small, or it is no point"
        )
        raise EnvelopeRefused(message, next_step="make a new key pair")
    return key
