"""A node's Flower messages to packets and back.

* The body stays one piece of bytes: Flower never packs or reads an array here.
* A reply that says "failed" says nothing else.
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from schemas.wire.packet import (
    BODY,
    BODY_ENCODING,
    INLINE_BYTES,
    PACKET_RECORD,
    PARTS,
    Packet,
    packet_from,
)

FAILED = "the node could not reply"
"""All that leaves a node whose work failed."""


def packet_of(request: Message) -> Packet:
    """Return the packet in a request; ValueError when its records are not those of a packet."""
    packet = packet_from(_parts_in(request.content))
    if packet is None:
        message = "request refused: its records are not those of one packet"
        raise ValueError(message)
    return packet


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


def reply(request: Message, packet: Packet) -> Message:
    """Put a packet into the reply to a request."""
    return Message(_records_of(packet), reply_to=request)


def _records_of(packet: Packet) -> RecordDict:
    """Put a packet into records; the body is not copied."""
    parts = {one: getattr(packet, one) for one in PARTS}
    if len(packet.body) <= INLINE_BYTES:
        return RecordDict({PACKET_RECORD: ConfigRecord(parts)})
    body = Array(BODY_ENCODING, (len(packet.body),), BODY_ENCODING, parts.pop(BODY))
    return RecordDict({PACKET_RECORD: ConfigRecord(parts), BODY: ArrayRecord({BODY: body})})


def failure(request: Message) -> Message:
    """Reply that the node failed, without a reason."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, FAILED), reply_to=request)
