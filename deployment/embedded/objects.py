"""Flower messages as the objects that cross its wire, and back; the bytes are those of the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from flwr.app import Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents


@dataclass(frozen=True, slots=True)
class Deflated:
    """A message as content-addressed objects; the largest holds at most 5 MiB of a body."""

    id: str
    objects: Mapping[str, bytes]


def deflated_records(records: RecordDict) -> Deflated:
    """Turn records into objects."""
    with no_object_id_recompute():
        objects = get_all_nested_objects(records)
        return Deflated(records.object_id, {id_: one.deflate() for id_, one in objects.items()})


def deflated(message: Message, records: Deflated | None = None) -> Deflated:
    """Turn a message into objects; its records are not turned again when they are given."""
    if records is None:
        records = deflated_records(message.content) if message.has_content() else Deflated("", {})
    return Deflated(message.object_id, {**records.objects, message.object_id: message.deflate()})


def inflated(message: Deflated) -> Message:
    """Turn objects into a new message."""
    made = cast("Message", inflate_object_from_contents(message.id, dict(message.objects)))
    # Flower's own receivers do the same: a message's bytes cannot hold its own digest.
    made.metadata.__dict__["_message_id"] = message.id
    return made
