"""What a node may name in a call: its own messages, and the objects that they are made of.

Flower holds a call against the key that signed it, and hands out any object, and forgets any
message, whose digest the caller knows. Hospitals may know each other's digests.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest
from flwr.server.superlink.linkstate import LinkState
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.state.schema.linkstate_models import MessageIns, MessageRes
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import select


@dataclass(slots=True)
class Scope:
    """What each node was sent, as far as it was looked up."""

    known: dict[int, frozenset[str]] = field(default_factory=dict)
    """The objects of a node's messages; there are as many entries as nodes on the roster."""

    def exceeds(self, state: LinkState, request: object) -> bool:
        """Say whether a call sends, takes or removes what is another node's."""
        match request:
            case PushMessagesRequest():
                node = request.node.node_id
                return any(one.metadata.src_node_id != node for one in request.messages_list)
            case PullObjectRequest():
                return not self._was_sent(state, request.node.node_id, request.object_id)
            case ConfirmMessageReceivedRequest():
                return _is_anothers(state, request.node.node_id, request.message_object_id)
            case _:
                return False

    def _was_sent(self, state: LinkState, node: int, wanted: str) -> bool:
        """Say whether an object is part of a message to this node, or is nowhere."""
        if wanted in self.known.get(node, ()) or wanted not in state.object_store:
            return True
        self.known[node] = frozenset(_objects(state, node))
        return wanted in self.known[node]


def _objects(state: LinkState, node: int) -> Iterator[str]:
    if not isinstance(state, SqlLinkState):
        return
    with state.session() as session:
        own = select(MessageIns.message_id).where(MessageIns.dst_node_id == uint64_to_int64(node))
        messages = [one for one in session.scalars(own) if one is not None]
    for message in messages:
        try:
            tree = state.object_store.get_object_tree(message)
        except NoObjectInStoreError:
            continue  # it was answered, and its objects are gone
        yield from (one.object_id for one in iterate_object_tree(tree))


def _is_anothers(state: LinkState, node: int, message: str) -> bool:
    """Say whether a message is to another node, or a reply, which the leader alone removes."""
    if not isinstance(state, SqlLinkState):
        return False
    with state.session() as session:
        to = select(MessageIns.dst_node_id).where(MessageIns.message_id == message)
        reply = select(MessageRes.message_id).where(MessageRes.message_id == message)
        found, is_reply = session.scalar(to), session.scalar(reply) is not None
    return is_reply or (found is not None and found != uint64_to_int64(node))
