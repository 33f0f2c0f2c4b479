"""A node's Flower messages to packets and back.

* The body stays one piece of bytes: Flower never packs or reads an array here.
* A reply that says "failed" says nothing else.
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from schemas.wire.packet import (
    AUDIT_RECORD,
    BODY_ENCODING,
    BODY_RECORD,
    ENTRY,
    ENVELOPE_RECORD,
    SEAL_RECORD,
    Packet,
)

FAILED = "the node could not reply"
"""All that leaves a node whose work failed."""


def packet_of(request: Message) -> Packet:
    """Return the packet in a request; ValueError when its records are not those of a packet."""
    records = request.content
    if records.keys() == {ENVELOPE_RECORD, BODY_RECORD, SEAL_RECORD, AUDIT_RECORD}:
        texts = [_bytes_in(records[one]) for one in (ENVELOPE_RECORD, SEAL_RECORD, AUDIT_RECORD)]
        body = records[BODY_RECORD]
        array = body.get(ENTRY) if isinstance(body, ArrayRecord) else None
        match texts:
            case [bytes() as envelope, bytes() as seal, bytes() as audit] if array is not None:
                if array.stype == BODY_ENCODING:
                    return Packet(envelope, array.data, seal, audit)
            case _:
                """Not one packet."""
    message = "request refused: its records are not those of one packet"
    raise ValueError(message)


def _bytes_in(record: object) -> bytes | None:
    content = record.get(ENTRY) if isinstance(record, ConfigRecord) else None
    return content if isinstance(content, bytes) else None


def reply(request: Message, packet: Packet) -> Message:
    """Put a packet into the reply to a request; the body is not copied."""
    body = Array(BODY_ENCODING, (len(packet.body),), BODY_ENCODING, packet.body)
    records = RecordDict(
        {
            ENVELOPE_RECORD: ConfigRecord({ENTRY: packet.envelope}),
            BODY_RECORD: ArrayRecord({ENTRY: body}),
            SEAL_RECORD: ConfigRecord({ENTRY: packet.seal}),
            AUDIT_RECORD: ConfigRecord({ENTRY: packet.audit}),
        }
    )
    return Message(records, reply_to=request)


def failure(request: Message) -> Message:
    """Reply that the node failed, without a reason."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, FAILED), reply_to=request)
