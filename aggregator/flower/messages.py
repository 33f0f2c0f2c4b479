"""The aggregator's packets to Flower messages and back.

* The body stays one piece of bytes: Flower never packs or reads an array here.
* Whatever the relay hands over that is not one packet counts as no reply.
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from schemas.release import ModelRelease
from schemas.update import EvaluateRequest, TrainRequest
from schemas.wire.envelope import Envelope
from schemas.wire.packet import (
    BODY_ENCODING,
    BODY_RECORD,
    ENTRY,
    ENVELOPE_RECORD,
    SEAL_RECORD,
    Packet,
)

_TYPES = {
    TrainRequest.__name__: MessageType.TRAIN,
    EvaluateRequest.__name__: MessageType.EVALUATE,
    ModelRelease.__name__: MessageType.QUERY,
}


def type_of(packet: Packet) -> str:
    """Return Flower's type for a request; KeyError when no handler of a node takes its kind."""
    return _TYPES[Envelope.from_canonical(packet.envelope).kind]


def records_of(packet: Packet) -> RecordDict:
    """Put a packet into records; the body is not copied."""
    body = Array(BODY_ENCODING, (len(packet.body),), BODY_ENCODING, packet.body)
    return RecordDict(
        {
            ENVELOPE_RECORD: ConfigRecord({ENTRY: packet.envelope}),
            BODY_RECORD: ArrayRecord({ENTRY: body}),
            SEAL_RECORD: ConfigRecord({ENTRY: packet.seal}),
        }
    )


def packet_of(reply: Message) -> Packet | None:
    """Return the packet in a reply; None for an error or for any other records."""
    if reply.has_error():
        return None
    records = reply.content
    if records.keys() != {ENVELOPE_RECORD, BODY_RECORD, SEAL_RECORD}:
        return None
    match records[ENVELOPE_RECORD], records[BODY_RECORD], records[SEAL_RECORD]:
        case ConfigRecord() as envelope, ArrayRecord() as body, ConfigRecord() as seal:
            content, array, signature = envelope.get(ENTRY), body.get(ENTRY), seal.get(ENTRY)
        case _:
            return None
    if isinstance(content, bytes) and isinstance(signature, bytes) and array is not None:
        return Packet(content, array.data, signature) if array.stype == BODY_ENCODING else None
    return None
