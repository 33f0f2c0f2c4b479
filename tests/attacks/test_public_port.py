"""Whoever reaches the aggregator's port: it answers nodes alone, and each for itself alone."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from flwr.app import ConfigRecord, MessageType, RecordDict
from flwr.app import Message as Sent
from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Message,
    Metadata,
    PullObjectRequest,
)

from aggregator.config import AggregatorHome, load_config
from aggregator.door import REASONS, Callers, Door, journal
from aggregator.federation import make
from aggregator.flower.body import MAX_BODY_BYTES
from aggregator.flower.gatekeeper import BURST, PATHS, REQUESTS_PER_S, Rate
from aggregator.flower.link import link_factory, relay_run
from aggregator.flower.link_grid import LinkGrid
from schemas.audit.events import TurnedAway
from schemas.audit.lines import read_events
from tests.attacks.ports import Port


@contextmanager
def turned_away(port: Port, status: int) -> Iterator[None]:
    """Hold that a call ends with this status, and is counted for the relay's journal."""
    before = port.door.counts[REASONS[status]]
    with pytest.raises(httpx.HTTPStatusError) as found:
        yield
    assert found.value.response.status_code == status
    assert port.door.counts[REASONS[status]] == before + 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/control/list-runs",
        "/v1/runtime/acquire-task",
        "/v1/runtime/pull-messages",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/get-fab",
        "/v1/fleet/get-run",
        "/health",
        "/docs",
        "/openapi.json",
        "/",
    ],
)
def test_nothing_but_the_nodes_endpoints_answers(port: Port, path: str) -> None:
    for method in ("GET", "POST"):
        assert port.client.request(method, path, content=b"").status_code == 404
    assert port.door.counts["no-such-endpoint"] == 2


def test_a_node_that_is_on_the_roster_is_let_in_and_may_come_back_at_once(port: Port) -> None:
    first = port.activated("north")
    assert port.activated("north") == first
    with port.line("north") as line:
        assert not line.PullMessages(PullMessagesRequest(node=first)).messages_list


def test_a_call_without_a_signature_is_turned_away(port: Port) -> None:
    headers = {"content-type": "application/protobuf", "accept": "application/protobuf"}
    body = PullMessagesRequest(node=port.activated("north")).SerializeToString()
    for path in PATHS:
        answer = port.client.post(path, content=body, headers=headers)
        assert answer.status_code in {400, 401}, path
    assert port.door.counts["malformed"] + port.door.counts["not-signed"] == len(PATHS)


def test_a_key_that_is_not_on_the_roster_is_turned_away(port: Port) -> None:
    with turned_away(port, 412):
        port.activated("stranger")


def test_a_revoked_key_is_turned_away_from_the_next_call_on(port: Port) -> None:
    north = port.activated("north")
    port.admitted("south")
    with turned_away(port, 401), port.line("north") as line:
        line.PullMessages(PullMessagesRequest(node=north))
    with turned_away(port, 412):
        port.activated("north")


def test_an_expired_key_is_turned_away(port: Port) -> None:
    port.admitted("north", until="2026-11-20T09:08:07.005Z")
    with turned_away(port, 412):
        port.activated("north")


def test_a_node_cannot_take_the_messages_of_another(port: Port) -> None:
    north, _ = port.activated("north"), port.activated("south")
    with turned_away(port, 401), port.line("south") as line:
        line.PullMessages(PullMessagesRequest(node=north))


def test_a_node_cannot_send_a_reply_in_the_name_of_another(port: Port) -> None:
    north, south = port.activated("north"), port.activated("south")
    forged = Message(metadata=Metadata(src_node_id=north.node_id, dst_node_id=1))
    with turned_away(port, 409), port.line("south") as line:
        line.PushMessages(PushMessagesRequest(node=south, messages_list=[forged]))


def test_a_node_cannot_read_or_remove_what_was_sent_to_another(port: Port) -> None:
    north, south = port.activated("north"), port.activated("south")
    state = link_factory(port.folder).state()
    with relay_run(state) as run, port.line("north") as own, port.line("south") as other:
        grid, run_id = LinkGrid(state, run.run_id), run.run_id
        words = RecordDict({"words": ConfigRecord({"to": "north alone"})})
        [sent] = grid.push_messages([Sent(words, north.node_id, MessageType.TRAIN, ttl=60.0)])
        for one in (sent, words.object_id, words["words"].object_id):
            with turned_away(port, 409):
                other.PullObject(PullObjectRequest(node=south, run_id=run_id, object_id=one))
        removing = ConfirmMessageReceivedRequest(run_id=run_id, message_object_id=sent)
        removing.node.CopyFrom(south)
        with turned_away(port, 409):
            other.ConfirmMessageReceived(removing)
        for one in (sent, words.object_id, words["words"].object_id):
            found = own.PullObject(PullObjectRequest(node=north, run_id=run_id, object_id=one))
            assert found.object_content
        absent = PullObjectRequest(node=south, run_id=run_id, object_id="0" * 64)
        assert not other.PullObject(absent).object_found


def test_a_body_over_the_cap_is_turned_away_before_it_is_read(port: Port) -> None:
    answer = port.client.post("/v1/fleet/push-object", content=bytes(MAX_BODY_BYTES + 1))
    assert answer.status_code == 413

    def parts() -> Iterator[bytes]:
        yield from (bytes(2**20) for _ in range(MAX_BODY_BYTES // 2**20 + 1))

    signed = port.signature("north")
    answer = port.client.post("/v1/fleet/push-object", content=parts(), headers=signed)
    assert answer.status_code == 413
    assert port.door.counts["too-large"] == 2


def test_an_address_that_asks_without_end_is_turned_away_and_the_others_are_not() -> None:
    rate = Rate()
    taken = sum(rate.takes("10.0.0.1", now=5.0) for _ in range(10 * int(BURST)))
    assert taken == BURST
    assert not rate.takes("10.0.0.1", now=5.0)
    assert rate.takes("10.0.0.2", now=5.0)
    assert rate.takes("10.0.0.1", now=5.0 + 1.5 / REQUESTS_PER_S)
    assert not rate.takes("10.0.0.1", now=5.0 + 1.5 / REQUESTS_PER_S)


def test_the_memory_of_addresses_is_bounded() -> None:
    rate = Rate()
    for number in range(30_000):
        rate.takes(str(number), now=0.0)
    assert len(rate.left) <= 10_000


def test_who_is_turned_away_stands_in_the_relays_journal_by_reason(
    port: Port, tmp_path: Path
) -> None:
    north = port.activated("north")
    for _ in range(3):
        port.client.post("/v1/control/start-run", content=b"")
    port.client.post("/v1/fleet/push-object", content=bytes(MAX_BODY_BYTES + 1))
    with turned_away(port, 412):
        port.activated("stranger")
    with turned_away(port, 401), port.line("south") as line:
        line.PullMessages(PullMessagesRequest(node=north))
    make(tmp_path / "home", federation="t")
    home = AggregatorHome(tmp_path / "home")
    config = load_config(home)
    for _ in range(2):
        port.door.write(home, config)
    events = list(read_events(home.door))
    assert [one.facts for one in events] == [
        TurnedAway(what="call", reason=reason, count=count)
        for reason, count in sorted(
            {"no-such-endpoint": 3, "not-enrolled": 1, "not-signed": 1, "too-large": 1}.items()
        )
    ]
    private = home.door / "private" / str(events[0].private).removeprefix("sha256:")
    assert Callers.from_canonical(private.read_bytes()[32:]).addresses == ("127.0.0.1",)
    with closing(journal(home, config)) as log:
        assert log.size == 4


def test_a_flood_is_one_event_and_a_bounded_list_of_addresses(tmp_path: Path) -> None:
    door = Door()
    for number in range(100_000):
        door.answered(429, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    make(tmp_path / "home", federation="t")
    home = AggregatorHome(tmp_path / "home")
    door.write(home, load_config(home))
    [event] = read_events(home.door)
    assert event.facts == TurnedAway(what="call", reason="too-often", count=100_000)
    [private] = (home.door / "private").iterdir()
    assert private.stat().st_size < 4096
