"""How large a message grows when the relay's objects are put together, told before they are.

An array's object lists its pieces by their place, and may list one piece many times: a few bytes
could claim all memory. The form of objects is the relay library's: a head of type, children and
length, divided by blanks; a zero byte; a body, which is JSON for an array.
"""

import json
from collections.abc import Mapping

from schemas.release import MAX_ARRAYS_BYTES

PIECE_BYTES = 5 * 2**20
"""The relay library cuts arrays into pieces of this size."""

MAX_MESSAGE_BYTES = MAX_ARRAYS_BYTES + 2**26
"""The largest arrays, and what stands around them."""

MAX_OBJECTS = MAX_MESSAGE_BYTES // PIECE_BYTES
"""In one message."""


def grown_bytes(contents: Mapping[str, bytes]) -> int:
    """Return the size in bytes of all objects of a message once their arrays are whole.

    Raises:
        ValueError: an array's object is not of that form.
    """
    return sum(len(one) + _pieces_bytes(one, contents) for one in contents.values())


def _pieces_bytes(content: bytes, contents: Mapping[str, bytes]) -> int:
    head, _, body = content.partition(b"\0")
    kind, _, rest = head.partition(b" ")
    if kind != b"Array":
        return 0
    children = rest.partition(b" ")[0].decode("ascii").split(",")
    try:
        places = json.loads(body)["arraychunk_ids"]
        return sum(len(contents[children[place]]) for place in places)
    except (KeyError, IndexError, TypeError, RecursionError) as error:
        message = "the object of an array does not list its pieces"
        raise ValueError(message) from error
