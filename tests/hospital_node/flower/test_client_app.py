import logging
from typing import TypeAlias

import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid, ServerApp
from numpy import zeros

from deployment.embedded.engine import run
from hospital_node.flower.client_app import build
from schemas.update import EvaluateRequest, TrainRequest
from schemas.wire.packet import BODY, BODY_ENCODING, INLINE_BYTES, PACKET_RECORD, Packet
from tests.deployment.embedded.echo import mute, node, replies, request

Record: TypeAlias = ArrayRecord | ConfigRecord | MetricRecord

BYTES = Array(BODY_ENCODING, (3,), BODY_ENCODING, b"abc")
TEXTS = {"envelope": b"envelope", "seal": b"seal", "audit": b"audit"}


def records(packet: ArrayRecord | ConfigRecord, **more: Record) -> RecordDict:
    made = RecordDict()
    for name, one in {PACKET_RECORD: packet, **more}.items():
        made[name] = one
    return made


def texts(**changed: str | bytes) -> ConfigRecord:
    return ConfigRecord({**TEXTS, BODY: b"abc", **changed})


def large(body: Record) -> RecordDict:
    return records(ConfigRecord({**TEXTS}), body=body)


WHOLE = records(texts())
LARGE = large(ArrayRecord({BODY: BYTES}))


def sent(records: RecordDict, kind: str = MessageType.TRAIN) -> Message:
    """Send records of any form to a node that echoes packets, and return Flower's reply."""
    came: list[Message] = []
    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        [only] = grid.get_node_ids()
        came.extend(grid.send_and_receive([Message(records, only, kind)]))

    run(server, {"A": node()}, workers=1)
    [reply] = came
    return reply


@pytest.mark.parametrize("kind", [TrainRequest, EvaluateRequest])
def test_both_kinds_of_request_are_answered(kind: type[TrainRequest | EvaluateRequest]) -> None:
    packet = request(kind, body=b"arrays")
    assert replies({"A": node()}, packet) == [("A", packet)]


def test_the_answer_is_chosen_by_the_node_that_is_asked() -> None:
    def answer_of(context: Context) -> Packet:
        return Packet(str(context.node_config["site"]).encode())

    app = build(lambda context: lambda _: answer_of(context), lambda _: mute)
    came = dict(replies({"A": app, "B": app}, request()))
    assert came == {"A": Packet(b"A"), "B": Packet(b"B")}


ODD: dict[str, RecordDict] = {
    "nothing": RecordDict(),
    "no body": records(ConfigRecord({**TEXTS})),
    "a record of another kind": records(ArrayRecord({BODY: BYTES})),
    "a record too many": records(texts(), metrics=MetricRecord({"x": 1})),
    "text for an envelope": records(texts(envelope="text")),
    "an entry too many": records(texts(other=b"")),
    "two bodies": records(texts(), body=ArrayRecord({BODY: BYTES})),
    "another entry": large(ArrayRecord({"other": BYTES})),
    "two arrays": large(ArrayRecord({BODY: BYTES, "other": BYTES})),
    "an array of numbers": large(ArrayRecord({BODY: Array(zeros(3))})),
    "text for a body": large(ConfigRecord({BODY: b"abc"})),
}


@pytest.mark.parametrize("records", ODD.values(), ids=ODD)
def test_records_that_are_not_one_packet_get_no_answer(records: RecordDict) -> None:
    reply = sent(records)
    assert reply.has_error()
    assert reply.error.reason == "the node could not reply"


@pytest.mark.parametrize("records", [WHOLE, LARGE], ids=["in one record", "in two"])
def test_one_packet_gets_its_reply(records: RecordDict) -> None:
    assert sent(records).content == WHOLE


@pytest.mark.parametrize("more", [0, 1])
def test_a_body_larger_than_a_piece_is_a_record_of_its_own(more: int) -> None:
    body = bytes(INLINE_BYTES + more)
    packet = request(TrainRequest, body=body)
    assert replies({"A": node()}, packet) == [("A", packet)]
    array = Array(BODY_ENCODING, (len(body),), BODY_ENCODING, body)
    assert len(sent(large(ArrayRecord({BODY: array}))).content) == 1 + more


def test_an_exception_leaves_a_node_without_type_text_or_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: Packet) -> Packet:
        try:
            int("MILLER^ANNA")
        except ValueError as error:
            path = "/cohort/MILLER^ANNA.dcm"
            raise FileNotFoundError(2, "No such file", path) from error
        raise AssertionError

    came: list[Message] = []
    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        [only] = grid.get_node_ids()
        came.extend(grid.send_and_receive([Message(WHOLE, only, MessageType.TRAIN)]))

    with caplog.at_level(logging.DEBUG):
        run(server, {"A": node(fail)}, workers=1)

    assert [one.error.reason for one in came] == ["the node could not reply"]
    assert "request failed: FileNotFoundError at tests.hospital_node.flower" in caplog.text
    assert "MILLER" not in caplog.text


def test_a_node_that_could_not_answer_refuses_instead() -> None:
    def fail(_: Packet) -> Packet:
        raise ZeroDivisionError

    app = node(fail, unable=lambda _: Packet(b"refusal"))
    assert replies({"A": app}, request()) == [("A", Packet(b"refusal"))]


def test_a_message_of_another_type_is_refused_without_its_text() -> None:
    reply = sent(WHOLE, "train.other")
    assert reply.has_error()
    assert reply.error.reason == "the ClientApp raised an exception"
