"""Tree heads as C2SP checkpoints, and the cosignatures of others on them.

* A note's text is signed as it stands; a key is matched by name and key id, never by the origin
  line alone (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).
* A cosignature says that its owner has seen one history up to this head, at a time
  (c2sp.org/tlog-cosignature, version 1); its key signs nothing else.
* Only the standard library and `cryptography`: a reviewer needs nothing else.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from schemas.errors import JournalDamaged
from schemas.wire.signatures import is_signed

_ED25519, _COSIGNATURE = b"\x01", b"\x04"
_ID_BYTES, _TIME_BYTES, _ROOT_BYTES = 4, 8, 32
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
"""Decimal without leading zeros; a longer one is no size of a log."""


class Signer(Protocol):
    """A private key that names itself."""

    @property
    def public(self) -> str:
        """The public half in base64."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature."""
        ...


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a log's owner claims: its first `size` events have this root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_id(name: str, key: str) -> bytes:
    """Return the four bytes that name an Ed25519 key in a signature line."""
    return _identifier(name, key, _ED25519)


def signed_head(head: TreeHead, key: Signer) -> str:
    """Return the note: text, empty line, one signature line in the origin's name."""
    signature = key_id(head.origin, key.public) + key.sign(head.text().encode())
    return f"{head.text()}\n{_line(head.origin, signature)}"


def verified_head(note: str, *, origin: str, key: str | tuple[str, ...]) -> TreeHead:
    """Return the head in a note that this key, or one of these keys, signed for this origin.

    Raises:
        JournalDamaged: not a tree head of this origin, or no valid signature of the key.
    """
    text, lines = _parted(note)
    head = _parsed(text)
    if head is None or head.origin != origin:
        raise _refused("no tree head of the expected origin")
    wanted = {key_id(origin, one): one for one in ((key,) if isinstance(key, str) else key)}
    for name, encoded in lines:
        signer = wanted.get(encoded[:4]) if name == origin else None
        if signer is not None and is_signed(text.encode(), encoded[4:], signer):
            return head
    raise _refused("a tree head without a valid signature of the expected key")


def claimed_head(note: str) -> TreeHead | None:
    """Return the head that a note claims, before any signature is checked; None: it is no head."""
    return _parsed(_parted(note)[0])


def cosignature(note: str, *, name: str, key: Signer, seconds: int) -> str:
    """Return the line that cosigns a note's text at a time in seconds since 1970."""
    signature = key.sign(_cosigned(_parted(note)[0], seconds))
    identifier = _identifier(name, key.public, _COSIGNATURE)
    return _line(name, identifier + seconds.to_bytes(_TIME_BYTES) + signature)


def cosigners(note: str, keys: Mapping[str, str]) -> dict[str, int]:
    """Return who cosigned a note, of those whose keys are given by name, and when."""
    text, lines = _parted(note)
    found: dict[str, int] = {}
    for name, encoded in lines:
        key = keys.get(name)
        if key is None or encoded[:_ID_BYTES] != _identifier(name, key, _COSIGNATURE):
            continue
        body = encoded[_ID_BYTES:]
        seconds = int.from_bytes(body[:_TIME_BYTES])
        if is_signed(_cosigned(text, seconds), body[_TIME_BYTES:], key):
            found[name] = seconds
    return found


def witness_name(site: str) -> str:
    """Return the name in which a site cosigns."""
    return f"site/{site}/witness"


def site_origin(site: str) -> str:
    """Return the origin of a site's log."""
    return f"site/{site}"


def aggregator_origin(federation: str) -> str:
    """Return the origin of an aggregator's log."""
    return f"{federation}/aggregator"


def vkey(name: str, key: str, *, is_witness: bool = False) -> str:
    """Write a public key as C2SP verifier key, for a policy."""
    kind = _COSIGNATURE if is_witness else _ED25519
    encoded = base64.b64encode(kind + base64.b64decode(key)).decode()
    return f"{name}+{_identifier(name, key, kind).hex()}+{encoded}"


def of_vkey(text: str) -> tuple[str, str]:
    """Return name and key of a verifier key; ValueError when it is none that is known here."""
    name, _, rest = text.partition("+")
    identifier, _, encoded = rest.partition("+")
    raw = base64.b64decode(encoded, validate=True)
    key = base64.b64encode(raw[1:]).decode()
    kind = raw[:1]
    if kind not in {_ED25519, _COSIGNATURE} or _identifier(name, key, kind).hex() != identifier:
        message = "a verifier key of an unknown kind, or whose id is not of its name and key"
        raise ValueError(message)
    return name, key


def _identifier(name: str, key: str, kind: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + base64.b64decode(key)).digest()[:_ID_BYTES]


def _cosigned(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _line(name: str, signature: bytes) -> str:
    return f"\u2014 {name} {base64.b64encode(signature).decode()}\n"


def _parted(note: str) -> tuple[str, Iterator[tuple[str, bytes]]]:
    """Part a note into its text and its signature lines."""
    text, _, lines = note.partition("\n\n")
    return text + "\n", (_signature_line(line) for line in lines.split("\n"))


def _parsed(text: str) -> TreeHead | None:
    try:
        origin, size, root, *_ = text.removesuffix("\n").split("\n")
        raw = base64.b64decode(root, validate=True)
    except ValueError:
        return None
    if not origin or not _SIZE.fullmatch(size) or len(raw) != _ROOT_BYTES:
        return None
    return TreeHead(origin, int(size), raw)


def _signature_line(line: str) -> tuple[str, bytes]:
    mark, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if mark != "\u2014":
        return "", b""
    try:
        return name, base64.b64decode(encoded, validate=True)
    except ValueError:
        return "", b""


def _refused(found: str) -> JournalDamaged:
    return JournalDamaged(
        f"tree head refused: found {found}",
        next_step="keep the files as they are, and compare them with a backup and with the copies "
        "of other parties",
    )
