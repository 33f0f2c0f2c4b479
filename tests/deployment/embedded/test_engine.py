import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from aggregator.exchange import Exchange
from deployment.embedded.carriers import Carrier, as_objects, copied
from schemas.errors import QuorumLost
from schemas.wire.packet import Packet
from tests.deployment.embedded.echo import TIMELY_S, echo, lead, node, replies, request

MIB = 2**20


def test_every_site_gets_the_very_bytes_and_its_reply_comes_back() -> None:
    seen: list[Packet] = []

    def shout(packet: Packet) -> Packet:
        seen.append(packet)
        return Packet(b"signed " + packet.envelope, packet.body[::-1])

    packet = request(body=b"arrays")
    came = replies({"A": node(shout), "B": node(shout)}, packet)

    assert seen == [packet, packet]
    assert dict(came) == dict.fromkeys("AB", Packet(b"signed " + packet.envelope, b"syarra"))


@pytest.mark.parametrize("carrier", [copied, as_objects])
def test_a_body_of_fifty_megabytes_arrives_whole_both_ways(carrier: Carrier) -> None:
    body = os.urandom(MIB) * 50
    packet = request(body=body)

    [(site, reply)] = replies({"A": node()}, packet, carrier=carrier)

    assert site == "A"
    assert reply == packet


@pytest.mark.parametrize("carrier", [copied, as_objects])
def test_an_empty_body_arrives_empty(carrier: Carrier) -> None:
    packet = request()
    assert replies({"A": node()}, packet, carrier=carrier) == [("A", packet)]


def test_replies_come_in_the_order_of_arrival_and_not_of_asking() -> None:
    others = {"A": threading.Event(), "B": threading.Event()}
    come: list[str] = []

    def wait_for(site: str) -> ClientApp:
        def answer(packet: Packet) -> Packet:
            assert others[site].wait(TIMELY_S)
            return packet

        return node(answer)

    def conduct(exchange: Exchange) -> None:
        for site, _ in exchange(request(), ["A", "B", "C"], deadline_s=TIMELY_S):
            come.append(site)
            {"C": others["B"], "B": others["A"]}.get(site, threading.Event()).set()

    lead(conduct, {"A": wait_for("A"), "B": wait_for("B"), "C": node()}, workers=3)

    assert come == ["C", "B", "A"]


def test_a_node_that_raises_is_no_reply_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Packet) -> Packet:
        name = "MILLER^ANNA"
        raise ValueError(name)

    packet = request()
    with caplog.at_level(logging.DEBUG):
        came = replies({"A": node(fail), "B": node()}, packet)

    assert dict(came) == {"A": None, "B": packet}
    assert "ValueError at tests.deployment.embedded.test_engine:" in caplog.text
    assert "MILLER" not in caplog.text


def test_a_node_that_is_late_is_no_reply_and_the_run_ends_after_it() -> None:
    release, ended = threading.Event(), threading.Event()

    def straggle(packet: Packet) -> Packet:
        assert release.wait(TIMELY_S)
        ended.set()
        return packet

    came: list[tuple[str, bool]] = []

    def conduct(exchange: Exchange) -> None:
        for site, reply in exchange(request(), ["A", "B"], deadline_s=0.5):
            came.append((site, reply is None))
        release.set()

    lead(conduct, {"A": node(straggle), "B": node()})

    assert came == [("B", False), ("A", True)]
    assert ended.is_set()


def test_a_late_reply_never_answers_a_later_request() -> None:
    release = threading.Event()

    def straggle(packet: Packet) -> Packet:
        assert release.wait(TIMELY_S)
        return packet

    first, second = request(number=1), request(number=2)
    came: list[Packet | None] = []

    def conduct(exchange: Exchange) -> None:
        came.extend(reply for _, reply in exchange(first, ["A"], deadline_s=0.1))
        release.set()
        came.extend(reply for _, reply in exchange(second, ["A"], deadline_s=TIMELY_S))

    lead(conduct, {"A": node(straggle)})

    assert came == [None, second]


def test_a_site_without_a_node_is_absent_at_once() -> None:
    packet = request()
    assert replies({"A": node()}, packet, sites=["A", "Z"]) == [("Z", None), ("A", packet)]


def test_no_more_nodes_work_at_a_time_than_workers() -> None:
    lock, both = threading.Lock(), threading.Barrier(2)
    at_work: list[int] = []
    names: set[str] = set()
    working = 0

    def count(packet: Packet) -> Packet:
        nonlocal working
        with lock:
            working += 1
            at_work.append(working)
            names.add(threading.current_thread().name)
        both.wait(TIMELY_S)
        with lock:
            working -= 1
        return packet

    came = replies({f"S{number}": node(count) for number in range(6)}, request())

    assert len(came) == 6
    assert max(at_work) == 2
    assert len(names) == 2
    assert names & {thread.name for thread in threading.enumerate()} == set()


@pytest.mark.parametrize(
    "error",
    [QuorumLost("round refused: 1 usable reply", next_step="ask"), KeyError("x"), SystemExit(3)],
    ids=lambda error: type(error).__name__,
)
def test_what_the_conduct_raises_reaches_the_caller_unchanged(error: BaseException) -> None:
    def conduct(_: Exchange) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        lead(conduct, {"A": node()})
    assert caught.value is error


def test_an_interrupt_begins_nothing_more_and_waits_for_what_runs() -> None:
    began, release = threading.Event(), threading.Event()
    ended: list[str] = []

    def work(packet: Packet) -> Packet:
        began.set()
        assert release.wait(TIMELY_S)
        ended.append("A")
        return packet

    def conduct(exchange: Exchange) -> None:
        coming = exchange(request(), ["Z", "A", "B"], deadline_s=TIMELY_S)
        assert next(coming) == ("Z", None)
        assert began.wait(TIMELY_S)
        threading.Timer(0.05, release.set).start()
        raise KeyboardInterrupt

    def must_not_begin(packet: Packet) -> Packet:
        ended.append("B")
        return packet

    with pytest.raises(KeyboardInterrupt):
        lead(conduct, {"A": node(work), "B": node(must_not_begin)}, workers=1)
    assert ended == ["A"]


def test_a_second_federation_in_the_process_is_refused_until_the_first_ends() -> None:
    def conduct(_: Exchange) -> None:
        with pytest.raises(RuntimeError, match="another one runs in this process, one at a time"):
            replies({"A": node()}, request())

    lead(conduct, {"A": node()})
    assert len(replies({"A": node()}, request())) == 1


def test_the_identity_that_flower_keeps_is_put_back() -> None:
    names = ("_run_id", "_node_id", "_task_id")
    before = [getattr(TaskIdentity, name) for name in names]
    replies({"A": node()}, request())
    assert [getattr(TaskIdentity, name) for name in names] == before


def test_a_node_is_told_its_site_and_keeps_its_state_through_a_run() -> None:
    app = ClientApp()
    counts: list[tuple[str, int]] = []

    @app.train()
    def train(message: Message, context: Context) -> Message:
        counter = context.state.config_records.get("counter", ConfigRecord({"value": 0}))
        value = counter["value"]
        assert isinstance(value, int)
        context.state["counter"] = ConfigRecord({"value": value + 1})
        counts.append((str(context.node_config["site"]), value + 1))
        return Message(message.content, reply_to=message)

    def conduct(exchange: Exchange) -> None:
        for number in (1, 2):
            list(exchange(request(number=number), ["A"], deadline_s=TIMELY_S))

    lead(conduct, {"A": app, "B": node(echo)})
    assert counts == [("A", 1), ("A", 2)]


WATCHED = """
import os, sys

def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        sys.stderr.write(f"{event}\\n")
        os._exit(9)

sys.addaudithook(watch)
ORDER
replies({"A": node()}, request(body=b"arrays"))
assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
assert not os.path.exists(os.environ["FLWR_HOME"])
"""


@pytest.mark.parametrize("first", ["deployment.embedded", "flwr.serverapp"])
def test_a_run_connects_nowhere_and_says_nothing(tmp_path: Path, first: str) -> None:
    order = f"import {first}\nfrom tests.deployment.embedded.echo import node, replies, request"
    result = subprocess.run(  # noqa: S603 (the command is written in this file)
        [sys.executable, "-c", WATCHED.replace("ORDER", order)],
        env={**os.environ, "FLWR_HOME": str(tmp_path / "flower")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
