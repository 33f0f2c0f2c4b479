"""How large a message grows is told from its objects, before any is put together."""

import json

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from schemas.wire.pieces import PIECE_BYTES, grown_bytes


def contents_of(data: bytes) -> dict[str, bytes]:
    body = Array("bytes", (len(data),), "bytes", data)
    records = RecordDict({"texts": ConfigRecord({"a": 1}), "body": ArrayRecord({"body": body})})
    return {id_: one.deflate() for id_, one in get_all_nested_objects(records).items()}


@pytest.mark.parametrize("data", [b"", b"a", 3 * PIECE_BYTES * b"\0", b"a" * (PIECE_BYTES + 1)])
def test_the_relay_library_s_objects_are_understood(data: bytes) -> None:
    contents = contents_of(data)
    held = sum(len(one) for one in contents.values())
    assert held + len(data) <= grown_bytes(contents) <= held + len(data) + 64 * 4


def test_a_piece_counts_as_often_as_it_is_listed() -> None:
    contents = {"a": b"ArrayChunk  4\0abcd", "b": array("a", 7 * [0])}
    grown = sum(len(one) for one in contents.values()) + 7 * len(contents["a"])
    assert grown_bytes(contents) == grown


def array(children: str, places: object) -> bytes:
    return f"Array {children} 1".encode() + b"\0" + json.dumps({"arraychunk_ids": places}).encode()


@pytest.mark.parametrize(
    "content",
    [
        array("a", [1]),
        array("missing", [0]),
        array("a", ["0"]),
        array("a", 3),
        array("\u00e4", [0]),
        b"Array a 1\0[]",
        b"Array a 1\0no json",
        b"Array a 1\0" + 10_000 * b"[",
        b"Array",
    ],
)
def test_what_lists_no_pieces_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        grown_bytes({"a": b"ArrayChunk  1\0a", "b": content})
