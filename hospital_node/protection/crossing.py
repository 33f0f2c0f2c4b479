"""How a task and its answer cross between the node and the process that computes on ciphertexts."""

import json
from typing import IO, Any

_JOINED_BYTES = 2**20
"""Up to this many leave in one call: whoever reads wakes up once."""


def write(stream: IO[bytes], head: dict[str, Any], *parts: bytes | memoryview) -> None:
    """Write one line of JSON and what follows it."""
    pieces = [json.dumps(head).encode() + b"\n", *parts]
    if sum(memoryview(one).nbytes for one in pieces) <= _JOINED_BYTES:
        pieces = [b"".join(pieces)]
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view:
            view = view[stream.write(view) :]
