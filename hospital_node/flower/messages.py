"""A node's Flower messages to packets and back.

* The body stays one piece of bytes: Flower never packs or reads an array here.
* A reply that says "failed" says nothing else.
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from schemas.wire.packet import (
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
    if records.keys() == {ENVELOPE_RECORD, BODY_RECORD, SEAL_RECORD}:
        match records[ENVELOPE_RECORD], records[BODY_RECORD], records[SEAL_RECORD]:
            case ConfigRecord() as envelope, ArrayRecord() as body, ConfigRecord() as seal:
                content, array, key = envelope.get(ENTRY), body.get(ENTRY), seal.get(ENTRY)
                if (
                    isinstance(content, bytes)
                    and isinstance(key, bytes)
                    and array is not None
                    and array.stype == BODY_ENCODING
                ):
                    return Packet(content, array.data, key)
            case _:
                pass
    message = "request refused: its records are not those of one packet"
    raise ValueError(message)


def reply(request: Message, packet: Packet) -> Message:
    """Put a packet into the reply to a request; the body is not copied."""
    body = Array(BODY_ENCODING, (len(packet.body),), BODY_ENCODING, packet.body)
    records = RecordDict(
        {
            ENVELOPE_RECORD: ConfigRecord({ENTRY: packet.envelope}),
            BODY_RECORD: ArrayRecord({ENTRY: body}),
            SEAL_RECORD: ConfigRecord({ENTRY: packet.seal}),
        }
    )
    return Message(records, reply_to=request)


def failure(request: Message) -> Message:
    """Reply that the node failed, without a reason."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, FAILED), reply_to=request)
