"""Tree heads as C2SP checkpoints: signed notes (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

* A note's text is signed as it stands; a key is matched by name and key id, never by the origin
  line alone.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from schemas.errors import JournalDamaged
from schemas.names import PublicKey
from schemas.wire.keys import SigningKey, is_signed

_ED25519 = b"\x01"
_ROOT_BYTES = 32
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
"""Decimal without leading zeros; a longer one is no size of a log."""


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a log's owner claims: its first `size` events have this root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_id(name: str, key: PublicKey) -> bytes:
    """Return the four bytes that name an Ed25519 key in a signature line."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + base64.b64decode(key)).digest()[:4]


def signed_head(head: TreeHead, key: SigningKey) -> str:
    """Return the note: text, empty line, one signature line in the origin's name."""
    signature = key_id(head.origin, key.public) + key.sign(head.text().encode())
    return f"{head.text()}\n\u2014 {head.origin} {base64.b64encode(signature).decode()}\n"


def verified_head(note: str, *, origin: str, key: PublicKey) -> TreeHead:
    """Return the head in a note that this key signed for this origin.

    Raises:
        JournalDamaged: not a tree head of this origin, or no valid signature of the key.
    """
    text, _, lines = note.partition("\n\n")
    text += "\n"
    head = _parsed(text)
    if head is None or head.origin != origin:
        raise _refused("no tree head of the expected origin")
    wanted = key_id(origin, key)
    for line in lines.split("\n"):
        name, encoded = _signature_line(line)
        if name == origin and encoded[:4] == wanted and is_signed(text.encode(), encoded[4:], key):
            return head
    raise _refused("a tree head without a valid signature of the expected key")


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
