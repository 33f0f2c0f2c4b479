"""A Flower grid over the link state, without a socket between the run and its messages.

* A message is announced when all of its objects are there: whoever leads may be killed over it, and
  no node waits for the rest.
* A reply is taken when all of its objects have come; until then nothing is waited for.
* One reply is opened at a time, and its objects are let go of at once.
* Flower's own look for a reply takes the file's write lock, which the relay needs for every object
  that comes, and gives a node up after a short silence. Here a node that is gone may come back
  until its message expires; only one that was taken off the roster is given up.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from flwr.app import Message, MessageType, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.proto.node_pb2 import NodeInfo
from flwr.server.superlink.linkstate import LinkState
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.run import Run

from aggregator.flower.link import is_waited_for, is_whole, reply_to, stored_bytes
from schemas.protection.ciphertexts import MOST_SETTLED_BYTES
from schemas.wire.pieces import grown_bytes

ROSTER_LOOK_S = 1.0
"""Between two looks whether a node that has not answered is still on the roster."""

LARGEST_BYTES = 2 * MOST_SETTLED_BYTES
"""A reply of an exchange of the private sum is no larger: ciphertexts are many times a model."""

ABOUT_BYTES = 2**26
"""What may stand in any other reply beside arrays; they are at most twice those of the request."""


class NodeRemoved(Exception):
    """A node was taken off the roster, or its message expired: nobody will answer it."""


class ReplyTooLarge(Exception):
    """What a node announced, or its arrays once put together, is larger than any honest reply."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A reply that was announced and is still being sent."""

    message: str
    objects: tuple[str, ...]
    """The largest are sent last."""


@dataclass(slots=True)
class Asked:
    """A message that waits for its reply."""

    most_bytes: int
    """A larger reply is not put together."""
    looked: float = field(default_factory=time.monotonic)
    """When its node was last looked for on the roster."""


@dataclass(slots=True)
class LinkGrid(Grid):
    """Carry the messages of one run."""

    state: LinkState
    run_id: int
    coming: dict[str, Coming] = field(default_factory=dict)
    """By the message that is answered."""
    asked: dict[str, Asked] = field(default_factory=dict)
    """By its message."""

    @property
    def run(self) -> Run:
        """The only run of this grid."""
        return self.state.get_run_info(run_ids=[self.run_id])[0]

    def set_run(self, run: Run) -> None:
        """Refuse any other run."""
        if run.run_id != self.run_id:
            message = f"run {run.run_id} refused: this grid carries run {self.run_id} only"
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
        """Return the numbers of the nodes that are connected."""
        return list(self.state.get_nodes(self.run_id))

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the nodes that are connected, each under its site's name."""
        return self.state.get_node_info(node_ids=list(self.get_node_ids()))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand messages over and return their ids; an empty one for what was not taken."""
        return [self._pushed(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Take the replies that have come whole; each can be taken once.

        Raises:
            NodeRemoved: nobody will answer one of the messages.
            ReplyTooLarge: a node claims more memory than its reply can need.
        """
        return [reply for one in set(message_ids) if (reply := self._looked_for(one))]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Refuse: replies are taken one by one here, never all together."""
        message = "this grid does not hold all replies at once"
        raise NotImplementedError(message)

    def _pushed(self, message: Message) -> str:
        with no_object_id_recompute():
            id_ = message.object_id
            # Flower sets a message's id the same way.
            message.metadata.__dict__["_message_id"] = id_
            session = self.state.start_session(self.run_id)
            objects = get_all_nested_objects(message)
            for one in self.state.preregister_object_tree(get_object_tree(message), session):
                self.state.store_object(self.run_id, session, one, objects[one].deflate())
        if self.state.store_message_ins(remove_content_from_message(message)) is None:
            self.state.object_store.delete(id_)
            return ""
        self.asked[id_] = Asked(self._most_bytes(message, tuple(objects)))
        return id_

    def _most_bytes(self, message: Message, objects: tuple[str, ...]) -> int:
        if message.metadata.message_type == MessageType.QUERY:
            return LARGEST_BYTES
        return ABOUT_BYTES + 2 * stored_bytes(self.state, objects)

    def _looked_for(self, asked: str) -> Message | None:
        if asked not in self.coming and (reply := reply_to(self.state, asked)) is not None:
            self.coming[asked] = self._announced(reply)
        if asked in self.coming and is_whole(self.state, self.coming[asked].objects):
            return self._taken(asked)
        self._hold_to_roster(asked)
        return None

    def _hold_to_roster(self, asked: str) -> None:
        """Raise once nobody will answer a message; what is asked of the file is asked seldom."""
        now, one = time.monotonic(), self.asked.get(asked)
        if one is not None and now - one.looked >= ROSTER_LOOK_S:
            one.looked = now
            if not is_waited_for(self.state, asked):
                raise NodeRemoved

    def _announced(self, id_: str) -> Coming:
        try:
            tree = self.state.object_store.get_object_tree(id_)
        except NoObjectInStoreError:
            return Coming(id_, (id_,))  # its sender has begun it anew in between
        return Coming(id_, tuple(one.object_id for one in iterate_object_tree(tree)))

    def _taken(self, asked: str) -> Message | None:
        """Return a reply whose objects are all there, and forget it; None while some are not."""
        one = self.coming[asked]
        if stored_bytes(self.state, one.objects) > self.asked[asked].most_bytes:
            self._forgotten(asked)
            raise ReplyTooLarge
        try:
            contents = self._contents(one.objects)
        except NoObjectInStoreError:
            contents = None
            del self.coming[asked]  # its sender begins it anew
        if contents is None:
            return None
        known = self._forgotten(asked)  # also when its objects turn out to be no reply
        if grown_bytes(contents) > known.most_bytes:
            raise ReplyTooLarge
        reply = cast("Message", inflate_object_from_contents(one.message, contents))
        reply.metadata.__dict__["_message_id"] = one.message
        return reply

    def _forgotten(self, asked: str) -> Asked:
        self.state.delete_messages({asked})
        self.state.object_store.delete(self.coming.pop(asked).message)
        return self.asked.pop(asked)

    def _contents(self, ids: tuple[str, ...]) -> dict[str, bytes] | None:
        """Return all objects; None at the first that is still on its way."""
        contents: dict[str, bytes] = {}
        for one in reversed(ids):  # the largest are sent last
            content = self.state.get_object(self.run_id, one)
            if content is None:
                raise NoObjectInStoreError(one)
            if not content:
                return None
            contents[one] = content
        return contents
