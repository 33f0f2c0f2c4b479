"""Flower as it comes, on loopback: a SuperLink with TLS and node authentication, and a SuperNode.

What the project defends against is tried on it first.
"""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest, AcquireTaskResponse, PullTaskInputRequest
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClient, ProtobufClientInterceptor
from flwr.supercore.run import Run
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from aggregator.tls import make_tls
from tests.deployed import PATIENCE_S, free_port, wait_for_port

_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}

L = TypeVar("L", bound=ProtobufClient)

_BUNDLE = b"""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "hostile"
version = "0.1.0"
description = "A bundle whose package has the name of an installed one"
license = "Apache-2.0"
dependencies = ["flwr>=1.41.0"]
[tool.flwr.app]
publisher = "stranger"
[tool.flwr.app.components]
serverapp = "leading:app"
clientapp = "hospital_node.app:app"
"""

_LEADING = b"""from flwr.serverapp import ServerApp
app = ServerApp()
app.main()(lambda grid, context: None)
"""

_SHADOW = """from pathlib import Path
Path({trace!r}).write_text(__file__)
from flwr.clientapp import ClientApp
app = ClientApp()
"""


@dataclass(slots=True)
class Stock:
    """A federation of Flower's own programs; whoever holds this can reach its port, no more."""

    folder: Path
    port: int
    keys: dict[str, EllipticCurvePrivateKey] = field(default_factory=dict)
    """The keys of hospitals, each known to its hospital."""
    nodes: dict[str, "StockNode"] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    lines: ExitStack = field(default_factory=ExitStack)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def authority(self) -> bytes:
        """What every client trusts; it is public."""
        return (self.folder / "tls" / "authority.pem").read_bytes()

    @property
    def trace(self) -> Path:
        """What the hostile bundle writes when it runs: the file that it ran from."""
        return self.folder / "trace"

    def start(self, program: str, *words: object) -> None:
        home = self.folder / program
        home.mkdir()
        with (self.folder / f"{program}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(  # noqa: S603 - every word is of a test
                    [Path(sys.executable).parent / program, *(str(one) for one in words)],
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    env={**self.environment(), "FLWR_HOME": str(home)},
                    start_new_session=True,
                )
            )

    def environment(self) -> Mapping[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, **_QUIET, "PATH": path}

    def stop(self) -> None:
        self.lines.close()
        for one in self.processes:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()

    def line(self, kind: type[L], component: str, *more: ProtobufClientInterceptor) -> L:
        """Call the port as one of Flower's components does; the stock lets go of the line."""
        version = RuntimeVersionHttpInterceptor(component_name=component)
        made = kind.from_server_address(
            self.address,
            insecure=False,
            root_certificates=self.authority,
            interceptors=[version, *more],
        )
        return self.lines.enter_context(closing(made))

    def control(self) -> ControlHttpClient:
        """Call what starts runs and registers nodes; no credential is needed."""
        return self.line(ControlHttpClient, "flwr CLI")

    def registered(self, site: str) -> None:
        """Register a key, as anybody may."""
        self.keys[site] = generate_private_key(SECP384R1())
        key = public_key_to_bytes(self.keys[site].public_key())
        self.control().RegisterNode(RegisterNodeRequest(public_key=key, name=site))

    def node(self, site: str) -> "StockNode":
        """Speak as a hospital, with its own key; it is let in once."""
        if site in self.nodes:
            return self.nodes[site]
        key = self.keys[site]
        signer = NodeAuthHttpInterceptor(key, key.public_key())
        client = self.line(FleetHttpClient, "SuperNode", signer)
        request = ActivateNodeRequest(
            public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=600
        )
        node = Node(node_id=client.ActivateNode(request).node_id)
        return self.nodes.setdefault(site, StockNode(client, node))

    def stolen(self) -> "Stolen":
        """Start a run with a hostile bundle, and take the task that leads it."""
        files = {
            "pyproject.toml": _BUNDLE,
            "leading.py": _LEADING,
            "hospital_node/__init__.py": b"",
            "hospital_node/app.py": _SHADOW.format(trace=str(self.trace)).encode(),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Flower's own use of pathspec
            content, _ = build_fab_from_files(files)
        fab = Fab(hash_str=sha256(content).hexdigest(), content=content)
        runtime, control = self.line(RuntimeHttpClient, "SuperExec"), self.control()
        taking = AcquireTaskRequest(supported_task_types=["flwr-serverapp"])
        for _ in range(20):  # SuperLink's own executor looks once a second, and may be first
            run_id = control.StartRun(StartRunRequest(fab=fab)).run_id
            end = time.monotonic() + 2
            while time.monotonic() < end:
                answer = runtime.AcquireTask(taking)
                if answer.token:
                    return self._led(run_id, answer)
        message = "SuperLink's own executor was first each time"
        raise AssertionError(message)

    def _led(self, run_id: int, answer: AcquireTaskResponse) -> "Stolen":
        grid = HttpGrid(self.address, root_certificates=self.authority, token=answer.token)
        self.lines.callback(grid.close)
        grid._runtime_client.PullTaskInput(PullTaskInputRequest())  # noqa: SLF001 - as Flower's own executor does
        grid.set_run(Run.create_empty(run_id))
        return Stolen(grid, run_id, answer.task.task_id)


@dataclass(frozen=True, slots=True)
class Stolen:
    """A run whose task a stranger took: its grid is Flower's own."""

    grid: HttpGrid
    run_id: int
    task_id: int

    def asked(self, site: str, words: str) -> str:
        """Send a hospital a message of this run, once it is connected."""
        TaskIdentity.run_id, TaskIdentity.node_id = self.run_id, SUPERLINK_NODE_ID
        TaskIdentity.task_id = self.task_id
        end = time.monotonic() + PATIENCE_S
        while site not in (nodes := {one.name: one.node_id for one in self.grid.get_nodes()}):
            assert time.monotonic() < end
            time.sleep(0.05)
        records = RecordDict({"words": ConfigRecord({"words": words})})
        [sent] = self.grid.push_messages([Message(records, nodes[site], MessageType.TRAIN, ttl=60)])
        return sent

    def answered(self, message: str) -> Message:
        """Take the reply to a message, as the ServerApp does."""
        [reply] = self.grid.pull_messages([message])
        return reply


@dataclass(frozen=True, slots=True)
class StockNode:
    """What a registered hospital can call, with its own key."""

    line: FleetHttpClient
    node: Node

    def pulled(self) -> Message:
        """Return the next message for this node, without its content."""
        answer = self.line.PullMessages(PullMessagesRequest(node=self.node))
        return message_from_proto(answer.messages_list[0])

    def replies(self, request: Message, records: RecordDict, *, as_node: Node) -> None:
        """Reply to a message, in the name of any node."""
        TaskIdentity.run_id, TaskIdentity.node_id = request.metadata.run_id, as_node.node_id
        TaskIdentity.task_id = 1
        reply = Message(records, reply_to=request)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            announced = PushMessagesRequest(
                node=self.node,
                messages_list=[message_to_proto(remove_content_from_message(reply))],
                message_object_trees=[get_object_tree(reply)],
            )
            answer = self.line.PushMessages(announced)
            objects = get_all_nested_objects(reply)
            for one in answer.objects_to_push:
                part = PushObjectRequest(
                    node=self.node,
                    run_id=request.metadata.run_id,
                    session_id=answer.session_id,
                    object_id=one,
                    object_content=objects[one].deflate(),
                )
                self.line.PushObject(part)


@contextmanager
def stock(folder: Path) -> Iterator[Stock]:
    """Start a SuperLink and the SuperNode of one hospital, `west`, and register two others."""
    one = Stock(folder, free_port())
    tls = folder / "tls"
    tls.mkdir()
    make_tls(tls, federation="stock", address=one.address)
    try:
        one.start(
            *("flower-superlink", "--host", "127.0.0.1", "--port", one.port),
            *("--ssl-ca-certfile", tls / "authority.pem", "--ssl-certfile", tls / "server.pem"),
            *("--ssl-keyfile", tls / "server.key", "--enable-supernode-auth"),
        )
        wait_for_port(one.port, one.processes[0])
        for site in ("east", "north", "west"):
            one.registered(site)
        key = folder / "west.key"
        content = one.keys["west"].private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
        key.write_bytes(content)
        key.chmod(0o600)
        one.start(
            *("flower-supernode", "--superlink", one.address, "--host", "127.0.0.1"),
            *("--root-certificates", tls / "authority.pem", "--port", free_port()),
            *("--auth-supernode-private-key", key),
        )
        yield one
    finally:
        one.stop()
