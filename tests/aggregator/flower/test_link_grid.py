"""Whoever is killed in the middle of a message or a reply, it comes whole or comes again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import ArrayRecord, Message
from flwr.common.constant import NOOP_FLWR_AID
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState

from aggregator.flower.link import came_back
from aggregator.flower.link_grid import LinkGrid, NodeRemoved
from tests.relayed import connected, handed, leading, replied, request, silent


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[LinkGrid]:
    with leading(tmp_path) as grid:
        yield grid


def test_a_leader_killed_while_it_sends_leaves_no_message_that_a_node_would_wait_for(
    grid: LinkGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, store = connected(grid), SqlLinkState.store_object
    stored: list[bool] = []

    def killed_at_the_second(*args: object) -> bool:
        if stored:
            raise KeyboardInterrupt
        stored.append(store(*args))  # type: ignore[arg-type]
        return stored[-1]

    monkeypatch.setattr(SqlLinkState, "store_object", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        grid.push_messages([request(node)])
    assert stored == [True]
    assert handed(grid, node) == []
    monkeypatch.undo()
    [asked] = grid.push_messages([request(node)])
    assert [one.metadata.message_id for one in handed(grid, node)] == [asked]


def test_a_node_killed_while_it_replies_gets_the_message_again_and_its_reply_is_taken(
    grid: LinkGrid,
) -> None:
    node = connected(grid)
    [asked] = grid.push_messages([request(node)])
    [message] = handed(grid, node)
    parts = replied(grid, message, objects=1, text="lost")
    assert parts > 1
    assert grid.pull_messages([asked]) == []
    came_back(grid.state, node)
    assert grid.state.activate_node(node, 60)
    [message] = handed(grid, node)
    assert message.metadata.message_id == asked
    replied(grid, message, text="kept")
    assert body_of(taken(grid, asked)) == b"kept"


def taken(grid: LinkGrid, asked: str) -> Message:
    """Take a reply that stands there whole: what is left of an earlier one may cost a look."""
    [one] = [*grid.pull_messages([asked]), *grid.pull_messages([asked])]
    return one


def body_of(message: Message) -> bytes:
    record = message.content["body"]
    assert isinstance(record, ArrayRecord)
    return record["body"].data


def test_a_whole_reply_is_taken_and_its_message_not_given_again(grid: LinkGrid) -> None:
    node = connected(grid)
    [asked] = grid.push_messages([request(node)])
    [message] = handed(grid, node)
    replied(grid, message, text="kept")
    came_back(grid.state, node)
    assert handed(grid, node) == []
    assert body_of(taken(grid, asked)) == b"kept"


@pytest.mark.parametrize("has_replied", [True, False])
def test_a_node_that_is_gone_is_waited_for(grid: LinkGrid, *, has_replied: bool) -> None:
    node = connected(grid)
    [asked] = grid.push_messages([request(node)])
    [message] = handed(grid, node)
    silent(grid)
    if not has_replied:
        grid.asked[asked].looked = 0.0
        assert grid.pull_messages([asked]) == []
        came_back(grid.state, node)
        assert grid.state.activate_node(node, 60)
        [message] = handed(grid, node)
    replied(grid, message, text="late")
    silent(grid)
    assert body_of(taken(grid, asked)) == b"late"


def test_a_node_that_was_taken_off_the_roster_is_given_up(grid: LinkGrid) -> None:
    node = connected(grid)
    [asked] = grid.push_messages([request(node)])
    grid.state.delete_node(NOOP_FLWR_AID, node)
    grid.asked[asked].looked = 0.0
    with pytest.raises(NodeRemoved):
        grid.pull_messages([asked])


def test_what_nobody_may_be_sent_leaves_nothing_behind(grid: LinkGrid) -> None:
    node = connected(grid)
    grid.state.delete_node(NOOP_FLWR_AID, node)
    assert grid.push_messages([request(node)]) == [""]
    assert len(grid.state.object_store) == 0
