import logging
import time
from collections.abc import Callable, Iterable, Mapping

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid, ServerApp

from aggregator.flower.away import AWAY_S, Away
from aggregator.flower.grid import GridExchange
from deployment.embedded.engine import run
from deployment.embedded.grid import EmbeddedGrid
from schemas.enrolment import Member
from schemas.errors import InvalidRecord
from schemas.wire.envelope import signed
from schemas.wire.packet import BODY, PACKET_RECORD, Packet
from tests.deployment.embedded.echo import KEY, TIMELY_S, node, replies, request

WHEN = "2030-01-01T00:00:00.000Z"


def odd(reply: Callable[[Message], Message]) -> ClientApp:
    """Make a node that writes its Flower reply itself."""
    app = ClientApp()

    @app.train()
    def train(message: Message, _: Context) -> Message:
        return reply(message)

    return app


def records(message: Message, records: RecordDict) -> Message:
    return Message(records, reply_to=message)


HOSTILE: Mapping[str, Callable[[Message], Message]] = {
    "an error with a text": lambda one: Message(Error(2, "MILLER^ANNA"), reply_to=one),
    "no records": lambda one: records(one, RecordDict()),
    "no body": lambda one: records(
        one, RecordDict({PACKET_RECORD: ConfigRecord({"envelope": b"MILLER^ANNA"})})
    ),
    "an empty body record": lambda one: records(
        one,
        RecordDict(
            {
                PACKET_RECORD: ConfigRecord({"envelope": b"x", "seal": b"", "audit": b""}),
                BODY: ArrayRecord(),
            }
        ),
    ),
    "an envelope that is text": lambda one: records(
        one, RecordDict({PACKET_RECORD: textual(one.content[PACKET_RECORD])})
    ),
}


def textual(record: object) -> ConfigRecord:
    assert isinstance(record, ConfigRecord)
    return ConfigRecord({**record, "envelope": "MILLER^ANNA"})


@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE)
def test_a_node_that_sends_anything_but_a_packet_fails_alone(
    reply: Callable[[Message], Message], caplog: pytest.LogCaptureFixture
) -> None:
    packet = request()
    with caplog.at_level(logging.DEBUG):
        came = dict(replies({"A": odd(reply), "B": node()}, packet))
    assert came == {"A": None, "B": packet}
    assert "MILLER" not in caplog.text


def test_a_reply_to_another_message_does_not_fill_a_slot() -> None:
    def forge(one: Message) -> Message:
        reply = Message(one.content, reply_to=one)
        reply.metadata.__dict__["_reply_to_message_id"] = "0" * 64
        return reply

    packet = request()
    came = replies({"A": odd(forge), "B": node()}, packet, deadline_s=0.5)
    assert came == [("B", packet), ("A", None)]


def test_nothing_is_sent_before_the_first_reply_is_asked_for() -> None:
    asked: list[Packet] = []

    def note(packet: Packet) -> Packet:
        asked.append(packet)
        return packet

    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        GridExchange(grid)(request(), ["A"], deadline_s=TIMELY_S)

    run(server, {"A": node(note)}, workers=1)
    assert asked == []


def test_only_a_signed_request_can_be_sent() -> None:
    with pytest.raises(InvalidRecord, match="Envelope refused"):
        replies({"A": node()}, Packet(b"no envelope"))
    member = Packet(signed(Member(site="A", key=KEY.public, witness=KEY.public, since=WHEN), KEY))
    with pytest.raises(KeyError, match="Member"):
        replies({"A": node()}, member)


class Late(EmbeddedGrid):
    """A grid that a second node joins when it was looked at often enough."""

    looks = 0

    def get_nodes(self) -> Iterable[NodeInfo]:
        self.looks += 1
        first, second = super().get_nodes()
        return [first, second] if self.looks > 3 else [first]


@pytest.mark.parametrize(("may_join", "expected"), [(True, "AB"), (False, "A")])
def test_a_node_may_join_in_a_round_where_that_is_allowed(may_join: bool, expected: str) -> None:  # noqa: FBT001
    came: dict[str, Packet | None] = {}
    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        late = Late({"A": node(), "B": node()}, run=grid.run, workers=1)
        exchange = GridExchange(late, nodes_may_join=may_join)
        came.update(exchange(request(), ["A", "B"], deadline_s=TIMELY_S))
        late.close()

    run(server, {}, workers=1)
    assert {site for site, reply in came.items() if reply is not None} == set(expected)
    assert set(came) == {"A", "B"}


def test_a_node_that_never_joins_is_absent_at_the_deadline() -> None:
    came: list[tuple[str, Packet | None]] = []
    packet = request()
    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        exchange = GridExchange(grid, nodes_may_join=True)
        came.extend(exchange(packet, ["Z", "A"], deadline_s=0.5))

    run(server, {"A": node()}, workers=1)
    assert came == [("A", packet), ("Z", None)]


def test_a_node_that_was_away_for_too_long_is_absent_before_the_deadline() -> None:
    came: list[tuple[str, Packet | None]] = []
    packet = request()
    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        away = Away(since={"Z": time.monotonic() - AWAY_S})
        exchange = GridExchange(grid, nodes_may_join=True, away=away)
        came.extend(exchange(packet, ["Z", "A"], deadline_s=TIMELY_S))
        came.extend(exchange(packet, ["Z", "A"], deadline_s=TIMELY_S))

    run(server, {"A": node()}, workers=1)
    assert sorted(came) == 2 * [("A", packet)] + 2 * [("Z", None)]


class Deaf(EmbeddedGrid):
    """A grid that takes no message, as Flower does with one that is too large."""

    answer: tuple[str, ...] = ()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        list(messages)
        return self.answer


class Unreadable(EmbeddedGrid):
    """A grid that cannot put the first site's reply together, as Flower with malformed objects."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        came = list(super().pull_messages(message_ids))
        if any(one.metadata.src_node_id == 2 for one in came):
            name = "MILLER^ANNA"
            raise ValueError(name)
        return came


def test_a_reply_that_flower_cannot_read_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    packet = request()
    came: dict[str, Packet | None] = {}
    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        unreadable = Unreadable({"A": node(), "B": node()}, run=grid.run, workers=1)
        came.update(GridExchange(unreadable)(packet, ["A", "B"], deadline_s=TIMELY_S))
        unreadable.close()

    with caplog.at_level(logging.DEBUG):
        run(server, {}, workers=1)
    assert came == {"A": None, "B": packet}
    assert "reply in the slot of A cannot be read: ValueError" in caplog.text
    assert "MILLER" not in caplog.text


def test_a_message_that_flower_does_not_take_leaves_its_site_absent() -> None:
    came: list[tuple[str, Packet | None]] = []
    server = ServerApp()

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        deaf = Deaf({"A": node()}, run=grid.run, workers=1)
        came.extend(GridExchange(deaf)(request(), ["A"], deadline_s=TIMELY_S))
        deaf.close()

    run(server, {}, workers=1)
    assert came == [("A", None)]
