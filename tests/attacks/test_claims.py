"""A hospital that claims more memory than its reply needs, or another's place at the relay."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import Array
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import add_header_to_object_body

from aggregator.flower.link import reply_to
from aggregator.flower.link_grid import ABOUT_BYTES, LinkGrid, ReplyTooLarge
from aggregator.flower.scope import Scope
from tests.relayed import connected, handed, leading, replied, request


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[LinkGrid]:
    with leading(tmp_path) as grid:
        yield grid


def test_a_reply_whose_array_lists_one_piece_many_times_is_not_put_together(
    grid: LinkGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listing(array: Array) -> bytes:
        times = 2 * ABOUT_BYTES // len(array.data)
        about = {"dtype": "", "shape": [], "stype": "", "arraychunk_ids": times * [0]}
        return add_header_to_object_body(json.dumps(about).encode(), array)

    node = connected(grid)
    [asked] = grid.push_messages([request(node)])
    [message], before = handed(grid, node), len(grid.state.object_store)
    monkeypatch.setattr(Array, "deflate", listing)
    replied(grid, message, text=2**20 * "a")
    with pytest.raises(ReplyTooLarge):
        grid.pull_messages([asked])
    assert len(grid.state.object_store) == before


def test_a_reply_far_larger_than_its_request_is_not_read(grid: LinkGrid) -> None:
    node = connected(grid)
    [asked] = grid.push_messages([request(node)])
    [message], before = handed(grid, node), len(grid.state.object_store)
    replied(grid, message, text=(ABOUT_BYTES + 2**20) * "a")
    with pytest.raises(ReplyTooLarge):
        grid.pull_messages([asked])
    assert len(grid.state.object_store) == before


def confirming(node: int, message: str) -> ConfirmMessageReceivedRequest:
    return ConfirmMessageReceivedRequest(node=Node(node_id=node), message_object_id=message)


def test_no_reply_can_be_removed_before_the_leader_took_it(grid: LinkGrid) -> None:
    node, scope = connected(grid), Scope()
    other = grid.state.create_node("", "", b"another", 0, name="west")
    [asked] = grid.push_messages([request(node)])
    [message] = handed(grid, node)
    replied(grid, message, text="kept")
    reply = reply_to(grid.state, asked)
    assert reply is not None
    for one in (node, other):
        assert scope.exceeds(grid.state, confirming(one, reply))
    assert scope.exceeds(grid.state, confirming(other, asked))
    assert not scope.exceeds(grid.state, confirming(node, asked))
    assert grid.pull_messages([asked])
    assert not scope.exceeds(grid.state, confirming(node, asked))
