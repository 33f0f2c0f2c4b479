"""The aggregator's packets to Flower messages and back.

* The body stays one piece of bytes: Flower never packs or reads an array here.
* Whatever the relay hands over that is not one packet counts as no reply.
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from schemas.protection.messages import ExchangeRequest
from schemas.release import ModelRelease
from schemas.update import CloseRequest, EvaluateRequest, TrainRequest
from schemas.wire.envelope import Envelope
from schemas.wire.packet import (
    BODY,
    BODY_ENCODING,
    INLINE_BYTES,
    PACKET_RECORD,
    PARTS,
    Packet,
    packet_from,
)

_TYPES = {
    TrainRequest.__name__: MessageType.TRAIN,
    EvaluateRequest.__name__: MessageType.EVALUATE,
    ModelRelease.__name__: MessageType.QUERY,
    CloseRequest.__name__: MessageType.QUERY,
    ExchangeRequest.__name__: MessageType.QUERY,
}


def type_of(packet: Packet) -> str:
    """Return Flower's type for a request; KeyError when no handler of a node takes its kind."""
    return _TYPES[Envelope.from_canonical(packet.envelope).kind]


def records_of(packet: Packet) -> RecordDict:
    """Put a packet into records; the body is not copied."""
    parts = {one: getattr(packet, one) for one in PARTS}
    if len(packet.body) <= INLINE_BYTES:
        return RecordDict({PACKET_RECORD: ConfigRecord(parts)})
    body = Array(BODY_ENCODING, (len(packet.body),), BODY_ENCODING, parts.pop(BODY))
    return RecordDict({PACKET_RECORD: ConfigRecord(parts), BODY: ArrayRecord({BODY: body})})


def packet_of(reply: Message) -> Packet | None:
    """Return the packet in a reply; None for an error or for any other records."""
    return None if reply.has_error() else packet_from(_parts_in(reply.content))


def _parts_in(records: RecordDict) -> dict[str, object]:
    """Return what stands in records that could be those of a packet; nothing of any others."""
    texts, large = records.get(PACKET_RECORD), records.get(BODY)
    if not isinstance(texts, ConfigRecord) or records.keys() - {PACKET_RECORD, BODY}:
        return {}
    if large is None:
        return dict(texts)
    array = large.get(BODY) if isinstance(large, ArrayRecord) and len(large) == 1 else None
    if BODY in texts or array is None or array.stype != BODY_ENCODING:
        return {}
    return {**texts, BODY: array.data}
