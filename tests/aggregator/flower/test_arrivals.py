"""A node's question is held until something may be there for it, and no longer than a moment."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.server.superlink.linkstate import LinkState
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.state.schema.linkstate_models import MessageIns
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import update

from aggregator.flower.arrivals import Arrivals
from aggregator.flower.link import link_factory, relay_run
from aggregator.flower.link_grid import LinkGrid


@pytest.fixture
def state(tmp_path: Path) -> LinkState:
    return link_factory(tmp_path / "link").state()


def node(state: LinkState, name: str) -> int:
    number = state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, name.encode(), 0, name=name)
    assert state.acknowledge_node_heartbeat(number, heartbeat_interval=60)
    return number


def sent(grid: LinkGrid, to: int, *, ttl: float) -> None:
    records = RecordDict({"packet": ConfigRecord({"to": str(to)})})
    [id_] = grid.push_messages([Message(records, to, "train", ttl=ttl)])
    assert id_


def test_a_question_is_answered_once_another_process_has_sent_something(
    tmp_path: Path, state: LinkState
) -> None:
    other = link_factory(tmp_path / "link").state()
    east, west = node(state, "east"), node(state, "west")

    async def story(grid: LinkGrid, waiting: Arrivals) -> None:
        question = asyncio.create_task(waiting.wait(east))
        sent(grid, west, ttl=60)
        assert await asyncio.wait_for(waiting.wait(west), 30)
        assert not question.done()
        sent(grid, east, ttl=60)
        assert await asyncio.wait_for(question, 30)

    with relay_run(other) as run, closing(waits(tmp_path, state)) as waiting:
        asyncio.run(story(LinkGrid(other, run.run_id), waiting))


def waits(tmp_path: Path, state: LinkState, hold_s: float = 3600.0) -> Arrivals:
    return Arrivals(state, tmp_path / "link" / "state.sqlite", hold_s)


def test_a_question_is_not_held_for_longer_than_a_moment(tmp_path: Path, state: LinkState) -> None:
    with closing(waits(tmp_path, state, hold_s=0.05)) as waiting:
        asyncio.run(asyncio.wait_for(waiting.wait(node(state, "east")), 30))
    assert waiting.waiting == frozenset()


def expire(state: LinkState, node: int) -> None:
    assert isinstance(state, SqlLinkState)
    to_node = MessageIns.dst_node_id == uint64_to_int64(node)
    with state.session() as session:
        session.execute(update(MessageIns).where(to_node).values(created_at=1.0))


def test_a_question_that_was_left_behind_ends_when_its_node_calls_again(
    tmp_path: Path, state: LinkState
) -> None:
    east = node(state, "east")

    async def story(waiting: Arrivals) -> list[bool]:
        left_behind = asyncio.create_task(waiting.wait(east))
        await asyncio.sleep(0)
        again = asyncio.create_task(waiting.wait(east))
        found = [await asyncio.wait_for(left_behind, 30)]
        waiting.called(east)
        return [*found, await asyncio.wait_for(again, 30)]

    with closing(waits(tmp_path, state)) as waiting:
        assert asyncio.run(story(waiting)) == [False, False]


def test_what_has_expired_or_was_taken_is_not_waited_for(tmp_path: Path, state: LinkState) -> None:
    east, west = node(state, "east"), node(state, "west")
    with relay_run(state) as run, closing(waits(tmp_path, state)) as waiting:
        grid = LinkGrid(state, run.run_id)
        sent(grid, east, ttl=60)
        expire(state, east)
        sent(grid, west, ttl=60)
        assert len(state.get_message_ins(west, limit=1)) == 1
        sent(grid, west, ttl=60)
        asyncio.run(waiting.wait(west))
        assert waiting.waiting == {west}
