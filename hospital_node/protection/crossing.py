"""How a task and its answer cross between the node and the process that computes on ciphertexts."""

import json
from typing import IO, Any


def write(stream: IO[bytes], head: dict[str, Any], *parts: bytes | memoryview) -> None:
    """Write one line of JSON and what follows it."""
    for piece in (json.dumps(head).encode() + b"\n", *parts):
        view = memoryview(piece).cast("B")
        while view:
            view = view[stream.write(view) :]
