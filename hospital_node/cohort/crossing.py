"""How the outcome of one file crosses from the process that reads it, without pickle.

A message is the length of its head in four bytes, the head as JSON, and the bytes that it
announces: each frame's plane, then each picture.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from hospital_node.cohort.dicom import Frame, Image
from hospital_node.cohort.places import Place
from hospital_node.cohort.reasons import NotUsed

__all__ = ["HEAD_BYTES", "packed", "unpacked"]

HEAD_BYTES = 4


def packed(outcome: Image | NotUsed) -> list[bytes]:
    """Return a message in pieces, to be written one after the other."""
    bodies: list[bytes] = []
    match outcome:
        case NotUsed():
            head: dict[str, Any] = {"code": outcome.code, "detail": outcome.detail}
        case Image():
            bodies = [one.plane.astype("<f4").tobytes() for one in outcome.frames]
            bodies += outcome.pages
            head = {
                "content": outcome.content.hex(),
                "instance": outcome.instance,
                "patient": outcome.patient,
                "series": outcome.series,
                "risks": outcome.risks,
                "shape": outcome.frames[0].plane.shape,
                "frames": [
                    [one.digest, None if one.place is None else asdict(one.place)]
                    for one in outcome.frames
                ],
                "pages": [len(one) for one in outcome.pages],
            }
    head["bodies"] = sum(map(len, bodies))
    written = json.dumps(head).encode()
    return [len(written).to_bytes(HEAD_BYTES, "big"), written, *bodies]


def unpacked(buffer: bytearray) -> Iterator[Image | NotUsed]:
    """Take every whole message from the front of a buffer."""
    while len(buffer) >= HEAD_BYTES:
        end = HEAD_BYTES + int.from_bytes(buffer[:HEAD_BYTES], "big")
        if len(buffer) < end:
            return
        head = json.loads(buffer[HEAD_BYTES:end])
        whole = end + head["bodies"]
        if len(buffer) < whole:
            return
        body = bytes(memoryview(buffer)[end:whole])
        del buffer[:whole]
        yield NotUsed(head["code"], head["detail"]) if "code" in head else _image(head, body)


def _image(head: dict[str, Any], body: bytes) -> Image:
    shape = tuple(head["shape"])
    planes = np.frombuffer(body, "<f4", count=len(head["frames"]) * int(np.prod(shape)))
    planes = planes.reshape(-1, *shape)
    frames = tuple(
        Frame(digest, plane, None if place is None else _place(place))
        for (digest, place), plane in zip(head["frames"], planes, strict=True)
    )
    pages, offset = [], planes.nbytes
    for size in head["pages"]:
        pages.append(body[offset : offset + size])
        offset += size
    return Image(
        content=bytes.fromhex(head["content"]),
        instance=head["instance"],
        patient=head["patient"],
        series=head["series"],
        frames=frames,
        risks=tuple(head["risks"]),
        pages=tuple(pages),
    )


def _place(place: dict[str, Any]) -> Place:
    return Place(**{name: tuple(value) for name, value in place.items()})
