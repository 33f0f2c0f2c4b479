"""An aggregator that answers a node's calls, under its own name, with whatever it likes."""

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from flwr.proto.fleet_pb2 import ActivateNodeResponse, DeactivateNodeResponse, PullMessagesResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree, PullObjectResponse
from flwr.proto.recorddict_pb2 import RecordDict

from hospital_node.flower.client import MAX_ANSWER_BYTES
from schemas.wire.pieces import MAX_OBJECTS
from tests.deployed import Deployed
from tests.hospital_node.test_doctor import served

ID = "a" * 64
PATIENCE_S = 60.0

Answers: TypeAlias = dict[str, Callable[[], bytes]]
"""What is answered to a call, by the last part of its path."""

PLAIN: dict[str, bytes] = {
    "activate-node": ActivateNodeResponse(node_id=42).SerializeToString(),
    "send-node-heartbeat": SendNodeHeartbeatResponse(success=True).SerializeToString(),
    "deactivate-node": DeactivateNodeResponse().SerializeToString(),
    "pull-messages": PullMessagesResponse().SerializeToString(),
    "pull-object": PullObjectResponse(object_found=False).SerializeToString(),
}


def message(*, ttl: float = 60.0, objects: int = 0, tree: bool = True) -> bytes:
    about = Metadata(
        run_id=7,
        message_id=ID,
        src_node_id=1,
        dst_node_id=42,
        ttl=ttl,
        message_type="train",
        created_at=time.time(),
    )
    children = [ObjectTree(object_id=f"{one:064x}") for one in range(objects)]
    trees = [ObjectTree(object_id=ID, children=children)] if tree else []
    found: bytes = PullMessagesResponse(
        messages_list=[Message(content=RecordDict(), metadata=about)], message_object_trees=trees
    ).SerializeToString()
    return found


def pulled(content: bytes, *, is_available: bool = True) -> bytes:
    found: bytes = PullObjectResponse(
        object_found=True, object_available=is_available, object_content=content
    ).SerializeToString()
    return found


HOSTILE: dict[str, Answers] = {
    "a page of a portal": {"pull-messages": lambda: b"<html>please log in</html>"},
    "a message without its objects": {"pull-messages": lambda: message(tree=False)},
    "objects that are noise": {"pull-messages": message, "pull-object": lambda: pulled(b"noise")},
    "more objects than any message has": {"pull-messages": lambda: message(objects=MAX_OBJECTS)},
    "an answer that is too long": {"pull-messages": lambda: bytes(32 * MAX_ANSWER_BYTES)},
}
NEVER: Answers = {
    "pull-messages": lambda: message(ttl=1e12),
    "pull-object": lambda: pulled(b"", is_available=False),
}


@dataclass(slots=True)
class Hostile:
    """A server that answers what the story wants, and counts its calls."""

    answers: Answers = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def answer(self, name: str) -> bytes:
        self.calls[name] += 1
        made = self.answers.get(name)
        if name == "pull-messages":
            time.sleep(0.05)
        return made() if made else PLAIN[name]

    def asked(self, name: str, times: int, one: Deployed) -> None:
        """Wait until the node has made a call so many times again."""
        end, goal = time.monotonic() + PATIENCE_S, self.calls[name] + times
        while self.calls[name] < goal:
            assert one.processes["north"].poll() is None, one.log("north")
            assert time.monotonic() < end, one.log("north")
            time.sleep(0.02)


@contextmanager
def hostile(port: int, tls: Path) -> Iterator[Hostile]:
    found = Hostile()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = found.answer(self.path.rsplit("/", 1)[1])
            self.send_response(200)
            self.send_header("content-type", "application/protobuf")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the node has heard enough

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "server.pem", tls / "server.key")
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def peak_mib(one: Deployed) -> float:
    status = Path(f"/proc/{one.processes['north'].pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def test_nothing_that_a_relay_answers_ends_a_node_or_fills_its_memory(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        one.kill("serve")
        with hostile(one.port, one.study.aggregator / "tls") as relay:
            one.node("north")
            relay.asked("pull-messages", 2, one)
            before = peak_mib(one)
            for answers in HOSTILE.values():
                relay.answers = answers | {"send-node-heartbeat": lambda: b"noise"}
                relay.asked("pull-messages", 2, one)
            relay.asked("send-node-heartbeat", 2, one)
            assert peak_mib(one) < before + 8 * MAX_ANSWER_BYTES / 2**20
        one.serve()
        connected = one.log("north").count("connected")
        end = time.monotonic() + PATIENCE_S
        while one.log("north").count("connected") == connected:
            assert time.monotonic() < end, one.log("north")
            time.sleep(0.05)
        assert "please log in" not in one.log("north")


def test_a_node_stops_when_told_also_while_an_object_never_comes(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        one.kill("serve")
        with hostile(one.port, one.study.aggregator / "tls") as relay:
            relay.answers = NEVER | {"deactivate-node": lambda: b"noise"}
            one.node("north")
            relay.asked("pull-object", 2, one)
            one.processes["north"].terminate()
            assert one.processes["north"].wait(timeout=PATIENCE_S) == 0
