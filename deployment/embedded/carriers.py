"""Two ways for a Flower message to reach the other side; neither shares a record with the sender.

* `copied` makes new records over the same immutable bytes: a model of any size costs nothing.
* `as_objects` goes through the objects that Flower sends between machines: slower, for tests that
  must know that a message survives them.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import TypeAlias, cast

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

Carrier: TypeAlias = Callable[[Message], Message]
"""Make the message that the receiver gets."""


def copied(message: Message) -> Message:
    """Copy a message; bytes are immutable and stay where they are."""
    return deepcopy(message)


def as_objects(message: Message) -> Message:
    """Take a message apart into Flower's content-addressed objects, and make it of their bytes.

    Flower leaves the message's own id out of them, since it would be its own digest.
    """
    with no_object_id_recompute():
        nested = get_all_nested_objects(message)
        contents = {id_: one.deflate() for id_, one in nested.items()}
        return cast("Message", inflate_object_from_contents(message.object_id, contents))
