"""Flower's link state: the nodes that are let in, the messages on their way, one SQLite file.

* Nodes are registered here from the roster alone; nobody registers over the network.
* A run at the relay is opened here and carries no bundle: there is no code that a node could get.
* Two processes use the file: the one that serves the nodes, and the one that leads a run. Either
  may end at any moment; the file keeps what was on its way.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID, SubStatus
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, NodeStatus, TaskType
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.state.schema.corestate_models import ObjectPushSessionRoot
from flwr.supercore.state.schema.linkstate_models import MessageIns, MessageRes, Node
from flwr.supercore.state.schema.objectstore_models import StoredObject
from flwr.supercore.task_identity import TaskIdentity
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import func, select, update

from aggregator.flower.state import relay_states
from schemas.enrolment import Roster
from schemas.files import make_folder
from schemas.names import Moment, SiteName
from schemas.wire.transport import parsed

_HEARTBEAT_S = 10.0
_MAKING_S = 60.0
"""Another process makes the tables within this time."""


def link_factory(folder: Path) -> LinkStateFactory:
    """Open the link state in a folder of its own, or make it; one process at a time makes it."""
    make_folder(folder)
    folder.chmod(0o700)
    database = str(folder / "state.sqlite")
    with FileLock(folder / "state.lock", timeout=_MAKING_S, mode=0o600):
        return relay_states(database)


def admit(state: LinkState, roster: Roster, *, at: Moment) -> None:
    """Let in exactly the nodes of the roster's valid members, each under its site's name."""
    wanted = {
        public_key_to_bytes(parsed(one.transport)): one.site
        for one in roster.members
        if one.transport is not None and one.is_valid(at)
    }
    present = [NodeStatus.REGISTERED, NodeStatus.ONLINE, NodeStatus.OFFLINE]
    known = {one.public_key: one for one in state.get_node_info(statuses=present)}
    for key, node in known.items():
        if wanted.get(key) != node.name:
            state.delete_node(NOOP_FLWR_AID, node.node_id)
    for key, site in wanted.items():
        if key not in known or known[key].name != site:
            state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, 0, name=site)


def came_back(state: LinkState, number: int) -> None:
    """Let a node that starts again in at once, and hand it what it had not answered once more.

    A message stays until its reply has come whole, so that a node may be killed over either; what
    came of a reply is let go of. The node itself holds a repeated request against what it did.
    """
    if not isinstance(state, SqlLinkState):
        return
    node = uint64_to_int64(number)
    replied = select(MessageRes.reply_to_message_id)
    begun = select(ObjectPushSessionRoot.session_id).join(
        MessageRes, MessageRes.message_id == ObjectPushSessionRoot.root_object_id
    )
    with state.session() as session:
        session.execute(
            update(Node)
            .where(Node.node_id == node, Node.status == NodeStatus.ONLINE)
            .values(status=NodeStatus.OFFLINE)
        )
        for one in session.scalars(begun.where(MessageRes.src_node_id == node)).all():
            state._cleanup_push_session(one, cleanup_messages=True)  # noqa: SLF001 - as Flower does when one expires
        session.execute(
            update(MessageIns)
            .where(MessageIns.dst_node_id == node, MessageIns.message_id.not_in(replied))
            .values(delivered_at="")
        )


def reply_to(state: LinkState, message: str) -> str | None:
    """Return the id of the reply to a message once it is announced, without a write lock."""
    if not isinstance(state, SqlLinkState):
        return None
    found = select(MessageRes.message_id).where(MessageRes.reply_to_message_id == message)
    with state.session() as session:
        return session.scalar(found)


def is_waited_for(state: LinkState, message: str) -> bool:
    """Say whether a message stands in the file and its node on the roster, connected or not."""
    if not isinstance(state, SqlLinkState):
        return False
    found = (
        select(MessageIns.message_id)
        .join(Node, Node.node_id == MessageIns.dst_node_id)
        .where(MessageIns.message_id == message, Node.status != NodeStatus.UNREGISTERED)
    )
    with state.session() as session:
        return session.scalar(found) is not None


def is_whole(state: LinkState, objects: Sequence[str]) -> bool:
    """Say whether none of these objects is still on its way, without a write lock."""
    if not isinstance(state, SqlLinkState):
        return True
    missing = select(StoredObject.object_id).where(
        StoredObject.object_id.in_(objects), StoredObject.is_available == 0
    )
    with state.session() as session:
        return session.execute(missing.limit(1)).first() is None


def stored_bytes(state: LinkState, objects: Sequence[str]) -> int:
    """Return the size in bytes of those of these objects that are there, without reading them."""
    if not isinstance(state, SqlLinkState):
        return 0
    found = select(func.sum(func.length(StoredObject.content)))
    with state.session() as session:
        return session.scalar(found.where(StoredObject.object_id.in_(objects))) or 0


def connected(folder: Path) -> set[SiteName]:
    """Name the sites whose nodes are connected now; nobody when the relay was never started."""
    if not (folder / "state.sqlite").exists():
        return set()
    return online(link_factory(folder).state())


def online(state: LinkState) -> set[SiteName]:
    """Name the sites whose nodes are connected now."""
    found = state.get_node_info(statuses=[NodeStatus.ONLINE])
    return {one.name for one in found if one.online_until > time.time()}


@dataclass(frozen=True, slots=True)
class RelayRun:
    """A run as the relay knows it; the federation's runs have names of their own."""

    run_id: int
    task_id: int


@contextmanager
def relay_run(state: LinkState) -> Iterator[RelayRun]:
    """Open a run at the relay and keep it alive; it is over when this ends, whatever the reason.

    A run whose process was killed is over for the relay after a minute without a heartbeat.
    """
    run = _opened(state)
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(state, run, over), daemon=True)
    thread.start()
    try:
        yield run
    finally:
        over.set()
        thread.join()
        state.finish_task(run.task_id, SubStatus.STOPPED, "")


def _opened(state: LinkState) -> RelayRun:
    run_id = state.create_run(
        fab_id=None,
        fab_version=None,
        fab_hash=None,
        override_config={},
        federation_id=NOOP_FEDERATION_ID,
        federation_config=None,
        flwr_aid=NOOP_FLWR_AID,
        primary_task_type=TaskType.SERVER_APP,
    )
    task_id = state.get_run_info(run_ids=[run_id])[0].primary_task_id
    if task_id is None or not state.claim_task(task_id) or not state.activate_task(task_id):
        message = "the relay did not take up the run that was just opened"
        raise RuntimeError(message)
    TaskIdentity.run_id, TaskIdentity.node_id = run_id, SUPERLINK_NODE_ID
    TaskIdentity.task_id = task_id
    return RelayRun(run_id, task_id)


def _beat(state: LinkState, run: RelayRun, over: threading.Event) -> None:
    while not over.wait(_HEARTBEAT_S):
        state.acknowledge_task_heartbeat(run.task_id)
