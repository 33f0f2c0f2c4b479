"""The line to the relay: Flower's fleet calls, outbound HTTPS on one port.

* The node asks for messages; nobody ever connects to it, and it listens nowhere.
* It never asks for a bundle: there is no code that the relay could hand it.
* A call that fails is repeated with a growing pause. Between messages an interruption of any length
  is waited out; a call for a message is given up when the message expires.
* Whoever cannot be let in is told why: a key that is not enrolled, or a clock that is off.
"""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    inflate_object_from_contents,
    pull_objects,
    push_objects,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.task_identity import TaskIdentity

from hospital_node.distrust import is_distrusted
from hospital_node.flower.client import fleet_client
from hospital_node.flower.turned_away import turned_away
from schemas.errors import EnvelopeRefused
from schemas.names import Address
from schemas.wire.pieces import MAX_MESSAGE_BYTES, MAX_OBJECTS, grown_bytes

HEARTBEAT_S = 10.0
"""The relay counts a node as gone after twice this time without a word."""

POLL_S = 0.2
"""Time between two questions for a message that the relay answers at once; it holds them longer."""

MAX_TTL_S = 86400.0
"""No plan waits longer for a reply."""

_PULL_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 5.0

Q = TypeVar("Q")
A = TypeVar("A")

_log = logging.getLogger(__name__)


class RunOver(Exception):
    """A message expired, or the relay's run of it has ended: nobody waits for the reply."""


class Relay:
    """One node's line; it is opened by `connect` and lasts until `close`."""

    def __init__(
        self,
        address: Address,
        *,
        authorities: str,
        key: EllipticCurvePrivateKey,
        over: threading.Event,
        distrusted: Callable[[], None],
    ) -> None:
        """Prepare the line; whatever waits on it ends soon when `over` is set.

        `distrusted` is called for each server that the authorities do not vouch for.
        """
        self._client = fleet_client(address, authorities=authorities, key=key)
        self._key = public_key_to_bytes(key.public_key())
        self._over = over
        self._distrusted, self._distrusting = distrusted, threading.Lock()
        self._closed = threading.Event()
        self.is_reached = False
        """Whether the last call was answered, and let this node in."""
        self.sent: Counter[str] = Counter()
        """Replies handed over, by Flower's type of message."""
        self._node = Node()
        self._was_held, self._was_cut = False, False
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def connect(self) -> None:
        """Be let in, however long it takes until the relay answers.

        Raises:
            EnvelopeRefused: the relay does not let this node in.
        """
        request = ActivateNodeRequest(public_key=self._key, heartbeat_interval=HEARTBEAT_S)
        self._node = Node(node_id=self._called(self._client.ActivateNode, request).node_id)
        self._was_cut = False
        if not self._heart.is_alive():
            self._heart.start()

    def close(self) -> None:
        """Say good-bye, if the relay can be reached, and end all calls."""
        self._closed.set()
        if self._heart.is_alive():
            self._heart.join()
        try:
            self._client.DeactivateNode(DeactivateNodeRequest(node_id=self._node.node_id))
        except (httpx.HTTPError, ValueError):
            _log.info("the relay could not be told that this node stops")
        self._client.close()

    def wait(self, pause_s: float | None = None) -> bool:
        """Wait between two questions, unless the relay held the last one; False once it stops."""
        if pause_s is None:
            pause_s = 0.0 if self._was_held else POLL_S
        return not self._over.wait(pause_s)

    def received(self) -> Message | None:
        """Return the next message for this node, whole; None while there is none.

        Raises:
            EnvelopeRefused: the relay does not let this node in any more.
            RunOver: nobody waits for the reply.
        """
        asked = time.monotonic()
        answer = self._called(self._client.PullMessages, PullMessagesRequest(node=self._node))
        self._was_held = bool(answer.messages_list) or time.monotonic() - asked >= POLL_S
        if not answer.messages_list:
            if self._was_cut:
                self.connect()  # an answer may have been lost: what it held comes once more
            return None
        announced = message_from_proto(answer.messages_list[0])
        metadata, tree = announced.metadata, answer.message_object_trees[0]
        TaskIdentity.run_id, TaskIdentity.node_id = metadata.run_id, self._node.node_id
        TaskIdentity.task_id = 1
        lasts_s = min(MAX_TTL_S, metadata.ttl)
        pull = make_pull_object_fn_protobuf(
            self._pulling(time.monotonic() + lasts_s), self._node, metadata.run_id
        )
        ids = [one.object_id for one in iterate_object_tree(tree)]
        if len(ids) > MAX_OBJECTS:
            raise RunOver
        try:
            contents = pull_objects(ids, pull, initial_backoff=_PULL_PAUSE_S, max_time=lasts_s)
        except ObjectPullError as error:
            raise RunOver from error
        if grown_bytes(contents) > MAX_MESSAGE_BYTES:
            raise RunOver
        message = inflate_object_from_contents(metadata.message_id, contents)
        if not isinstance(message, Message):
            text = "the relay handed over an object that is no message"
            raise TypeError(text)
        # Flower leaves a message's id out of its objects, since it is their digest.
        message.metadata.__dict__["_message_id"] = metadata.message_id
        return message

    def _pulling(self, until: float) -> Callable[[PullObjectRequest], PullObjectResponse]:
        def pull(request: PullObjectRequest) -> PullObjectResponse:
            if self._over.is_set():
                raise RunOver
            return self._called(self._client.PullObject, request, until=until)

        return pull

    def send(self, reply: Message) -> None:
        """Send a reply whole, and only then let the relay forget what it answers.

        Raises:
            EnvelopeRefused: the relay does not let this node in any more.
            RunOver: nobody waits for the reply.
        """
        run_id = reply.metadata.run_id
        expires = time.monotonic() + min(MAX_TTL_S, reply.metadata.ttl)
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            request = PushMessagesRequest(
                node=self._node,
                messages_list=[message_to_proto(remove_content_from_message(reply))],
                message_object_trees=[get_object_tree(reply)],
            )
            answer = self._called(self._client.PushMessages, request, until=expires)
            push = make_push_object_fn_protobuf(
                lambda part: self._called(self._client.PushObject, part, until=expires),
                self._node,
                run_id,
                answer.session_id,
            )
            objects, wanted = get_all_nested_objects(reply), {*answer.objects_to_push}
            try:
                push_objects(objects, push, object_ids_to_push=wanted)
            except ObjectPushError as error:
                raise RunOver from error
        confirm = make_confirm_message_received_fn_protobuf(
            lambda part: self._called(self._client.ConfirmMessageReceived, part, until=expires),
            self._node,
            run_id,
        )
        confirm(reply.metadata.reply_to_message_id)
        self.sent[reply.metadata.message_type] += 1

    def _called(self, call: Callable[[Q], A], request: Q, *, until: float = math.inf) -> A:
        """Call the relay until it answers; not again after `until`, by the monotonic clock."""
        pause_s = POLL_S
        while True:
            try:
                answer = call(request)
            except httpx.TransportError as error:
                found = self._cut(error)
            except httpx.HTTPStatusError as error:
                found = self._refused(error)
            except ValueError:  # of Flower, for bytes that are not the answer to this call
                found = "an answer that is no relay's"
            else:
                self.is_reached = True
                return answer
            self.is_reached = False
            if time.monotonic() + pause_s > until:
                raise RunOver
            _log.warning("the relay is asked again in %.1f s: %s", pause_s, found)
            if self._over.wait(pause_s):
                message = "call refused: this node stops"
                raise EnvelopeRefused(message, next_step="start it again: hospital-node serve")
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _cut(self, error: httpx.TransportError) -> str:
        """Say what became of a call that had no answer."""
        self._was_cut = True
        if not is_distrusted(error):
            return type(error).__name__
        with self._distrusting:  # objects are pulled in several threads
            self._distrusted()
        return "the federation's authority does not vouch for its certificate"

    def _refused(self, error: httpx.HTTPStatusError) -> str:
        """Say what was answered to a call that may be made again; raise for any other."""
        status = error.response.status_code
        if status in {httpx.codes.FORBIDDEN, httpx.codes.CONFLICT}:
            raise RunOver from error
        if status != httpx.codes.TOO_MANY_REQUESTS and httpx.codes.is_client_error(status):
            self.is_reached = False
            raise turned_away(error.response) from error
        return f"HTTP {status}"

    def _beat(self) -> None:
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_S)
        while not (self._closed.wait(HEARTBEAT_S / 2) or self._over.is_set()):
            try:
                self._client.SendNodeHeartbeat(request)
            except (httpx.HTTPError, MemoryError, ValueError) as error:
                self.is_reached = False
                _log.warning("no heartbeat reached the relay: %s", type(error).__name__)
