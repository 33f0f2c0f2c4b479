"""The file that nodes and leader share, and what each writes there, without their processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.state.schema.linkstate_models import Node
from sqlalchemy import update

from aggregator.flower.link import link_factory, relay_run
from aggregator.flower.link_grid import LinkGrid

TTL_S = 3600.0


@contextmanager
def leading(folder: Path) -> Iterator[LinkGrid]:
    """Open a run at a relay's file of its own."""
    state = link_factory(folder / "link").state()
    with relay_run(state) as run:
        yield LinkGrid(state, run.run_id)


def connected(grid: LinkGrid) -> int:
    node = grid.state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, b"key", 0, name="east")
    assert grid.state.acknowledge_node_heartbeat(node, heartbeat_interval=60)
    return node


def request(node: int) -> Message:
    return Message(large("asked"), node, "train", ttl=TTL_S)


def large(text: str) -> RecordDict:
    """Make records of several objects."""
    body = Array("bytes", (4,), "bytes", text.encode())
    return RecordDict({"texts": ConfigRecord({"a": 1}), "body": ArrayRecord({"body": body})})


def handed(grid: LinkGrid, node: int) -> list[Message]:
    return grid.state.get_message_ins(node, limit=10)


def replied(grid: LinkGrid, asked: Message, *, objects: int | None = None, text: str = "") -> int:
    """Announce a reply, send this many of its objects (all by default), return how many it has."""
    reply = Message(large(text), reply_to=asked)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    session = grid.state.start_session(grid.run_id)
    parts = get_all_nested_objects(reply)
    is_stored, missing = grid.state.store_message_and_object_tree(
        remove_content_from_message(reply), get_object_tree(reply), session
    )
    assert is_stored
    for one in missing[:objects]:
        assert grid.state.store_object(grid.run_id, session, one, parts[one].deflate())
    return len(missing)


def silent(grid: LinkGrid) -> None:
    """Let every node's last word be long ago."""
    assert isinstance(grid.state, SqlLinkState)
    with grid.state.session() as session:
        session.execute(update(Node).values(online_until=1.0))
