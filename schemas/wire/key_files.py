"""Private keys at rest: files of mode 0600, under a passphrase where a person wished so.

* A folder of keys is locked by a file `lock` in it: the salt and cost of scrypt (RFC 7914), and a
  check by which a wrong passphrase is told from a damaged key.
* Each key is sealed with ChaCha20-Poly1305 (RFC 8439) under a fresh nonce, bound to its own name.
* A crash in the middle leaves some keys sealed and some not; both are read, and the same command
  finishes what it began.
* The derived key stays in this process's memory: scrypt is paid once.
"""

import secrets
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import Field, StringConstraints

from schemas.base import Record
from schemas.errors import HomeRefused
from schemas.files import make_folder, read_private, write_durably
from schemas.wire.passphrase import new_passphrase, passphrase

_LOCK = "lock"
_PLAIN = {_LOCK, "former"}
"""Files in a folder of keys that are no private key."""

_MAGIC = b"consilium sealed key 1\n"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class Lock(Record):
    """How the keys of a folder are sealed."""

    kind: Literal["scrypt-chacha20-poly1305"] = "scrypt-chacha20-poly1305"
    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    cost: int = Field(default=2**16, ge=2**14, le=2**20)
    """scrypt's N; r is 8 and p is 1: 64 MiB and some tenths of a second."""
    check: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{56}$")]
    """Nothing, sealed: it opens under the right passphrase alone."""


def read_key(path: Path) -> bytes:
    """Return the bytes of a private key.

    Raises:
        HomeRefused: missing, readable by others, damaged, or under a passphrase that was not given.
    """
    content = read_private(path)
    if not content.startswith(_MAGIC):
        return content
    folder = _locked(path)
    if folder is None:
        message = f"key refused: {path.name} is sealed, and its folder has no {_LOCK}"
        raise HomeRefused(message, next_step="restore the folder keys/ from a backup")
    opened = _unsealed(content.removeprefix(_MAGIC), _given_key(folder), path.name)
    if opened is None:
        message = f"key refused: {path.name} was damaged, or is of another home"
        raise HomeRefused(message, next_step="restore it from a backup")
    return opened


def write_key(path: Path, content: bytes) -> None:
    """Write a private key, under the passphrase if its folder is locked.

    Raises:
        HomeRefused: the passphrase was not given.
    """
    folder = _locked(path)
    if folder is not None:
        content = _MAGIC + _sealed(content, _given_key(folder), path.name)
    write_durably(path, content, mode=0o600)


def lock_keys(folder: Path) -> tuple[str, ...]:
    """Put all keys of a folder, and those that wait to replace them, under a passphrase.

    Returns the names of the keys that were sealed now. A folder that is locked keeps its
    passphrase.

    Raises:
        HomeRefused: the passphrase was not given, or is another than that of the lock.
        InputRefused: it is too short.
    """
    make_folder(folder)
    folder.chmod(0o700)
    if not (folder / _LOCK).exists():
        salt, cost = secrets.token_hex(16), Lock.model_fields["cost"].default
        check = _sealed(b"", _derived(new_passphrase(asked_for=_named(folder)), salt, cost), _LOCK)
        lock = Lock(salt=salt, cost=cost, check=check.hex())
        write_durably(folder / _LOCK, lock.canonical(), mode=0o600)
    _given_key(folder)
    plain = [path for path in _keys(folder) if not read_private(path).startswith(_MAGIC)]
    for path in plain:
        write_key(path, read_private(path))
    return tuple(path.name for path in plain)


def unlock_keys(folder: Path) -> None:
    """Take the passphrase away from all keys of a folder; the lock goes last.

    Raises:
        HomeRefused: the passphrase was not given, or is another one.
    """
    for path in _keys(folder):
        write_durably(path, read_key(path), mode=0o600)
    (folder / _LOCK).unlink(missing_ok=True)


def protection(folder: Path) -> Literal["none", "partial", "whole"]:
    """Say whether the keys of a folder are under a passphrase; none is asked for."""
    if not (folder / _LOCK).exists():
        return "none"
    sealed = [read_private(path).startswith(_MAGIC) for path in _keys(folder)]
    return "whole" if all(sealed) else "partial"


def _keys(folder: Path) -> list[Path]:
    """List the private keys of a folder, and those in a folder in it."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in found if path.name not in _PLAIN and not path.name.startswith(".")]


def _locked(path: Path) -> Path | None:
    """Return the folder whose lock a key is under: its own, or the one above."""
    folders = (path.parent, path.parent.parent)
    return next((one for one in folders if (one / _LOCK).exists()), None)


def _given_key(folder: Path) -> bytes:
    lock = Lock.from_stored(read_private(folder / _LOCK), what="the lock of the keys")
    given = passphrase(asked_for=_named(folder))
    key = _derived(given, lock.salt, lock.cost)
    if _unsealed(bytes.fromhex(lock.check), key, _LOCK) is None:
        message = "key refused: the passphrase is not the one that this home's keys are under"
        raise HomeRefused(message, next_step="give the right one; without it, restore a backup")
    return key


def _named(folder: Path) -> str:
    return f"the keys of {folder.resolve().parent.name}"


@lru_cache(maxsize=4)
def _derived(given: bytes, salt: str, cost: int) -> bytes:
    return Scrypt(bytes.fromhex(salt), _KEY_BYTES, n=cost, r=8, p=1).derive(given)


def _sealed(content: bytes, key: bytes, name: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, content, name.encode())


def _unsealed(content: bytes, key: bytes, name: str) -> bytes | None:
    nonce, sealed = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, name.encode())
    except (InvalidTag, ValueError):
        return None
