"""The replies that left this hospital, by run, round and purpose.

* The same request gets the same bytes and costs nothing.
* A reply is stored, whole and on disk, before it may leave.
* A round of a run has one request for each purpose; another request in its place is refused. So
  has each exchange of an attempt to open a sum: that is what makes a share leave once.
* A refusal stands here where work on patients had begun: its outcome is said once.
* What stands here is noised or public already; it is kept so that a repeated request discloses
  nothing new.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import Field

from schemas.base import Record
from schemas.errors import EnvelopeRefused, IntegrityLost, InvalidRecord
from schemas.files import write_durably
from schemas.names import Digest, Name, PublicKeys, digest_of
from schemas.protection.messages import (
    REPLIES,
    Boxes,
    Ciphertexts,
    Deal,
    MaskedInput,
    Opening,
    SelfCheck,
    Unmasking,
)
from schemas.update import Evaluation, Refusal, Update
from schemas.wire.envelope import kind_of, opened
from schemas.wire.packet import Packet

_KINDS: Mapping[str, tuple[type[Record], ...]] = MappingProxyType(
    {
        "train": (Update, SelfCheck, Refusal),
        "evaluate": (Evaluation, SelfCheck, Refusal),
        **{exchange: (kind,) for exchange, kind in REPLIES.items()},
    }
)
"""What may stand in a slot, by the last word of its purpose."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one reply."""

    run: Name
    round: int
    purpose: Name
    """`train`, `evaluate`, or one exchange of an attempt to open their sum: `train-1-share`."""


class StoredReply(Record):
    """The head of a stored reply; the envelope's and the body's bytes follow it."""

    request: Digest
    """Digest of the request's envelope."""
    envelope_size: int = Field(ge=1)


class Replies:
    """A folder of replies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stored(self, slot: Slot, request: bytes, *, key: PublicKeys) -> Packet | None:
        """Return the reply that this request got before, signed by `key`; None for a free slot.

        Raises:
            EnvelopeRefused: the slot was used by another request.
            IntegrityLost: the stored bytes are not the ones that left.
        """
        path = self._path(slot)
        if not path.exists():
            return None
        line, _, rest = path.read_bytes().partition(b"\n")
        try:
            head = StoredReply.from_canonical(line)
        except InvalidRecord:
            raise _damaged(slot) from None
        if head.request != digest_of(request):
            message = (
                f"request refused: round {slot.round} was asked by another request, one is allowed"
            )
            raise EnvelopeRefused(
                message, next_step="the aggregator must send its first request again"
            )
        reply = Packet(rest[: head.envelope_size], rest[head.envelope_size :])
        if not _is_whole(reply, slot.purpose, key):
            raise _damaged(slot)
        return reply

    def holds(self, slot: Slot) -> bool:
        """Say whether a slot was used."""
        return self._path(slot).exists()

    def store(self, slot: Slot, request: bytes, reply: Packet) -> None:
        """Put a reply on disk."""
        head = StoredReply(request=digest_of(request), envelope_size=len(reply.envelope))
        write_durably(self._path(slot), head.canonical(), b"\n", reply.envelope, reply.body)

    def last_round(self, run: Name, purpose: Name) -> int:
        """Return the highest round of a run that was answered; 0 when none was."""
        names = (path.name for path in (self._folder / run).glob(f"*-{purpose}"))
        return max((int(name.partition("-")[0]) for name in names), default=0)

    def _path(self, slot: Slot) -> Path:
        return self._folder / slot.run / f"{slot.round:06d}-{slot.purpose}"


def _is_whole(reply: Packet, purpose: Name, key: PublicKeys) -> bool:
    """Say whether a reply is signed by this key and has the arrays that it names."""
    named = kind_of(reply.envelope)
    kinds = [one for one in _KINDS[purpose.rpartition("-")[2]] if one.__name__ == named]
    try:
        found = [opened(reply.envelope, kind, key=key) for kind in kinds]
    except EnvelopeRefused:
        return False
    match found:
        case [Update() | Boxes() | MaskedInput() | Unmasking() as one]:
            return digest_of(reply.body) == one.arrays
        case [Deal() | Ciphertexts() | Opening() as one]:
            return digest_of(reply.body) == one.arrays
        case [_]:
            return not reply.body
        case _:
            return False


def _damaged(slot: Slot) -> IntegrityLost:
    message = f"request refused: the stored reply of round {slot.round} is damaged"
    next_step = "restore ledger, journal and replies together from the newest backup"
    return IntegrityLost(message, next_step=next_step)
