"""A Flower grid in one process: every node is a ClientApp with a context of its own.

* A carrier makes the message that arrives, so a node and the aggregator never share a record.
* At most `workers` nodes work at a time, and a node on one message at a time, in their order.
* A message whose time is over is not begun, and a reply that comes after it is dropped.
* `close` begins nothing more and waits for what runs: a node that trains still owns its home.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from deployment.embedded.carriers import Carrier, copied
from schemas.names import SiteName

_PAUSE_S = 0.002

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Letter:
    """A message on its way, and when its time is over (by the wall clock, as in Flower)."""

    message: Message
    expires: float


@dataclass(slots=True)
class _Node:
    """One site's node; the context's state lasts as long as the grid."""

    site: SiteName
    app: ClientApp
    context: Context
    inbox: deque[_Letter] = field(default_factory=deque)
    is_busy: bool = False


class EmbeddedGrid(Grid):
    """Carry messages between one ServerApp and these ClientApps."""

    def __init__(
        self,
        clients: Mapping[SiteName, ClientApp],
        *,
        run: Run,
        workers: int,
        carrier: Carrier = copied,
    ) -> None:
        """Start no thread yet; nodes are numbered after the aggregator, in the mapping's order."""
        self._run, self._carrier = run, carrier
        self._nodes = {
            number: _Node(site, app, _context(run, number, site))
            for number, (site, app) in enumerate(clients.items(), start=SUPERLINK_NODE_ID + 1)
        }
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="embedded-node")
        self._lock = threading.Lock()
        self._is_closed = False
        self._replies: dict[str, _Letter] = {}

    @property
    def run(self) -> Run:
        """The only run of this grid."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Refuse any other run."""
        if run.run_id != self._run.run_id:
            message = f"run {run.run_id} refused: this grid carries run {self._run.run_id} only"
            raise ValueError(message)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message, as the Message class itself does."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the numbers of all nodes."""
        return list(self._nodes)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return all nodes, each under its site's name."""
        return [NodeInfo(node_id=id_, name=node.site) for id_, node in self._nodes.items()]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Put messages into the nodes' inboxes and return the ids that they got."""
        ids = []
        for message in messages:
            carried = self._carrier(message)
            ids.append(uuid4().hex)
            # Flower sets a message's id the same way.
            carried.metadata.__dict__["_message_id"] = ids[-1]
            expires = message.metadata.created_at + message.metadata.ttl
            self._put(self._nodes[message.metadata.dst_node_id], _Letter(carried, expires))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Take the replies that have come; each can be taken once."""
        with self._lock:
            taken = [self._replies.pop(one) for one in message_ids if one in self._replies]
        return [letter.message for letter in taken]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push messages and return all replies that come in time, together."""
        waiting = set(self.push_messages(messages))
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        replies: list[Message] = []
        while True:
            is_over = time.monotonic() >= end
            came = list(self.pull_messages(waiting))
            replies += came
            waiting -= {one.metadata.reply_to_message_id for one in came}
            if is_over or not waiting:
                return replies
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Begin nothing more, and wait for the nodes that are at work."""
        with self._lock:
            self._is_closed = True
            is_busy = any(node.is_busy for node in self._nodes.values())
        if is_busy:
            _log.info("waiting for nodes to end what they began")
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _put(self, node: _Node, letter: _Letter) -> None:
        now = time.time()
        with self._lock:
            self._replies = {id_: one for id_, one in self._replies.items() if one.expires > now}
            node.inbox.append(letter)
            if not node.is_busy:
                node.is_busy = True
                self._pool.submit(self._work, node)

    def _work(self, node: _Node) -> None:
        """Answer the first message in an inbox; nodes that wait come before its next one."""
        letter = node.inbox.popleft()
        try:
            if time.time() < letter.expires:
                reply = self._answered(node, letter.message)
                if time.time() < letter.expires:
                    with self._lock:
                        id_ = letter.message.metadata.message_id
                        self._replies[id_] = _Letter(reply, letter.expires)
        finally:
            with self._lock:
                node.is_busy = bool(node.inbox) and not self._is_closed
                if node.is_busy:
                    self._pool.submit(self._work, node)

    def _answered(self, node: _Node, message: Message) -> Message:
        """Call the ClientApp; when it raises, reply as Flower does, but without what it raised."""
        try:
            return self._carrier(node.app(message, node.context))
        except Exception as error:  # noqa: BLE001 - the edge of a node, as in Flower's own executor
            _log.error("the ClientApp of %s raised %s", node.site, type(error).__name__)
            reason = "the ClientApp raised an exception"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def _context(run: Run, number: int, site: SiteName) -> Context:
    return Context(
        run_id=run.run_id,
        node_id=number,
        node_config={"site": site},
        state=RecordDict(),
        run_config={},
    )
