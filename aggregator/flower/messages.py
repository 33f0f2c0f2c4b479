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
    AUDIT_RECORD,
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
    CloseRequest.__name__: MessageType.QUERY,
    ExchangeRequest.__name__: MessageType.QUERY,
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
            AUDIT_RECORD: ConfigRecord({ENTRY: packet.audit}),
        }
    )


def packet_of(reply: Message) -> Packet | None:
    """Return the packet in a reply; None for an error or for any other records."""
    if reply.has_error():
        return None
    records = reply.content
    if records.keys() != {ENVELOPE_RECORD, BODY_RECORD, SEAL_RECORD, AUDIT_RECORD}:
        return None
    texts = [_bytes_in(records[one]) for one in (ENVELOPE_RECORD, SEAL_RECORD, AUDIT_RECORD)]
    body = records[BODY_RECORD]
    array = body.get(ENTRY) if isinstance(body, ArrayRecord) else None
    match texts:
        case [bytes() as envelope, bytes() as seal, bytes() as audit] if array is not None:
            if array.stype == BODY_ENCODING:
                return Packet(envelope, array.data, seal, audit)
        case _:
            """Not one packet."""
    return None


def _bytes_in(record: object) -> bytes | None:
    content = record.get(ENTRY) if isinstance(record, ConfigRecord) else None
    return content if isinstance(content, bytes) else None
