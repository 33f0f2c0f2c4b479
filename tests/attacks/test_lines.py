"""Whoever holds lines open and says nothing, or never comes to an end: the nodes are served."""

import http.client
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from aggregator.config import AggregatorHome
from aggregator.lines import Lines, entrances
from aggregator.tls import make_tls
from aggregator.web import CALL_BYTES, HEAD_BYTES
from schemas.errors import HomeRefused, InputRefused
from tests.attacks.ports import EACH, MOST, Port, fresh, serving, until
from tests.deployed import PATIENCE_S, Deployed, aggregate, free_port
from tests.study import Study

SHORT_S = 0.2
HEAD = b"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n"
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 400)); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    with serving(tmp_path) as found:
        yield fresh(found)


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Port]:
    """Serve with little patience for a first call, and for the next."""
    with serving(tmp_path, first_s=SHORT_S, next_s=SHORT_S) as found:
        yield fresh(found)


@contextmanager
def held(number: int, *, of: int, address: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Hold so many lines from an address open."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                socket.create_connection(
                    ("127.0.0.1", number), timeout=PATIENCE_S, source_address=(address, 0)
                )
            )
            for _ in range(of)
        ]


def is_over(line: socket.socket) -> bool:
    """Say whether the other end has closed a line; wait until it has said anything."""
    try:
        while line.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    return True


def is_cut(line: socket.socket, part: bytes) -> bool:
    """Say whether the other end stops a line that sends the same again and again."""
    for _ in range(50 * CALL_BYTES // len(part)):
        try:
            line.sendall(part)
        except OSError:
            return True
    return False


def test_a_line_that_asks_nothing_is_closed(hasty: Port) -> None:
    with held(hasty.number, of=3) as lines:
        assert all(is_over(one) for one in lines)
    until(lambda: hasty.door.counts == {"too-slow": 3})


def test_a_line_that_never_comes_to_the_end_of_its_head_is_closed(hasty: Port) -> None:
    with held(hasty.number, of=1) as [line]:
        end = time.monotonic() + PATIENCE_S
        try:
            line.sendall(HEAD)
            while time.monotonic() < end:
                line.sendall(b"a: b\r\n")
                time.sleep(SHORT_S / 20)
        except OSError:
            pass
        assert time.monotonic() < end
    until(lambda: hasty.door.counts == {"too-slow": 1})


def test_a_line_that_never_comes_to_the_end_of_its_next_head_is_closed(tmp_path: Path) -> None:
    with (
        serving(tmp_path, next_s=SHORT_S) as served,
        closing(line_of_a_node(fresh(served))) as node,
    ):
        node.sock.sendall(HEAD)
        assert is_over(node.sock)


def test_a_line_that_never_speaks_tls_is_closed(tmp_path: Path) -> None:
    make_tls(tmp_path, federation="t", address="federation.example.org:8443")
    tls = (tmp_path / "server.pem", tmp_path / "server.key")
    with (
        serving(tmp_path, tls=tls, first_s=SHORT_S) as port,
        held(port.number, of=2) as [silent, half],
    ):
        half.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert is_over(silent)
        assert is_over(half)
        until(lambda: not port.lines.ending)
        assert not port.lines.held


def test_a_head_of_any_length_is_not_kept(port: Port) -> None:
    with held(port.number, of=1) as [line]:
        line.sendall(HEAD)
        assert is_cut(line, b"a: " + b"b" * HEAD_BYTES + b"\r\n")


def test_a_body_that_nobody_reads_does_not_go_on_for_ever(port: Port) -> None:
    with held(port.number, of=1) as [line]:
        line.sendall(HEAD + b"Content-Length: 999999999\r\n\r\n")
        assert is_cut(line, bytes(2**20))


def test_one_stranger_with_many_lines_leaves_room_for_the_nodes(port: Port) -> None:
    with held(port.number, of=5 * EACH, address="127.0.0.2"):
        until(lambda: port.lines.count["127.0.0.2"] == EACH)
        port.activated("north")
        until(lambda: port.door.counts["too-many"] == 4 * EACH)
        assert set(port.door.callers["too-many"]) == {"127.0.0.2"}


def test_strangers_of_many_addresses_do_not_hold_the_nodes_out(port: Port) -> None:
    with ExitStack() as stack:
        node = stack.enter_context(closing(line_of_a_node(port)))
        for number in range(2, 9):
            lines = held(port.number, of=EACH, address=f"127.0.0.{number}")
            stack.enter_context(lines)
        until(lambda: port.door.counts["too-many"] >= 7 * EACH - MOST)
        assert len(port.lines.held) <= MOST
        assert asked(node, port) == 200
        port.activated("south")
        assert asked(node, port) == 200


def line_of_a_node(port: Port) -> http.client.HTTPConnection:
    """Open a line of a node that is let in."""
    made = http.client.HTTPConnection("127.0.0.1", port.number, timeout=PATIENCE_S)
    assert asked(made, port) == 200
    made.auto_open = 0  # another line would be another test
    return made


def asked(line: http.client.HTTPConnection, port: Port) -> int:
    key = public_key_to_bytes(port.keys["north"].public_key())
    body = ActivateNodeRequest(public_key=key, heartbeat_interval=10).SerializeToString()
    headers = {"content-type": "application/protobuf", **port.signature("north")}
    line.request("POST", "/v1/fleet/activate-node", body=body, headers=headers)
    answer = line.getresponse()
    answer.read()
    return answer.status


def test_every_line_gives_its_place_back(port: Port) -> None:
    with held(port.number, of=EACH), closing(line_of_a_node(port)):
        pass
    until(lambda: not port.lines.held and not port.lines.ending)
    assert not port.lines.count


def test_an_answer_is_sent_at_once(port: Port) -> None:
    """Not held back until the other end has confirmed its first half, 40 ms later."""
    with closing(line_of_a_node(port)):
        [line] = port.lines.held.values()
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_where_nothing_can_listen_is_refused_in_words() -> None:
    lines = Lines(most=20, each=20)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(HomeRefused, match="nothing can listen at 127"):
            entrances(taken, lines)
    for listen in ("nonsense", "127.0.0.1:abc", "127.0.0.1:-1", "127.0.0.1:99999999"):
        with pytest.raises(InputRefused, match="HOST:PORT is allowed"):
            entrances(listen, lines)


def test_more_lines_than_files_may_be_open_neither_stop_the_port_nor_fill_its_log(
    tmp_path: Path,
) -> None:
    """The command itself, where 200 files may be open, and 400 if it asks for them."""
    number, home = free_port(), tmp_path / "aggregator"
    aggregate("init", "--home", home, "--name", "t", "--address", f"127.0.0.1:{number}")
    study = Study(tmp_path, tmp_path / "plan", home, {})
    one = Deployed(study, number, before=lambda _: (sys.executable, "-c", LIMITED))
    url = f"https://127.0.0.1:{number}/v1/fleet/pull-messages"
    try:
        one.serve()
        with ExitStack() as stack:
            for last in range(2, 6):
                stack.enter_context(held(number, of=150, address=f"127.0.0.{last}"))
            for _ in range(3):
                with httpx.Client(verify=False, timeout=PATIENCE_S) as client:  # noqa: S501
                    assert client.post(url).status_code == 415
            open_files = len(os.listdir(f"/proc/{one.processes['serve'].pid}/fd"))  # noqa: PTH208
            assert 200 < open_files <= 400
        assert len(one.log("serve")) < 10_000
    finally:
        one.stop()
    assert AggregatorHome(home).door.exists()
