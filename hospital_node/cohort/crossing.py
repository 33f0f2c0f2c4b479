"""How the outcome of one file crosses from the process that reads it, without pickle.

A message is the length of its head in four bytes, the head as JSON, and the bytes that it
announces: each frame's plane, then each picture; or each mask, a bit for a pixel.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from hospital_node.cohort.dicom import Frame, Image
from hospital_node.cohort.grids import Grid
from hospital_node.cohort.outlines import Outline, Outlines
from hospital_node.cohort.places import Place
from hospital_node.cohort.reasons import NotUsed

__all__ = ["HEAD_BYTES", "packed", "unpacked"]

HEAD_BYTES = 4


def packed(outcome: Image | Outlines | NotUsed) -> list[bytes]:
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
                    [one.number, one.digest, _named(one.grid), one.place and _named(one.place)]
                    for one in outcome.frames
                ],
                "pages": [len(one) for one in outcome.pages],
            }
        case Outlines():
            bodies = [np.packbits(one.pixels).tobytes() for one in outcome.masks]
            head = {
                "content": outcome.content.hex(),
                "patient": outcome.patient,
                "series": outcome.series,
                "covered": outcome.covered,
                "masks": [
                    [one.digest, one.pixels.shape, one.instance, one.frame, one.origin]
                    for one in outcome.masks
                ],
            }
    head["bodies"] = sum(map(len, bodies))
    written = json.dumps(head).encode()
    return [len(written).to_bytes(HEAD_BYTES, "big"), written, *bodies]


def _named(record: Grid | Place) -> dict[str, object]:
    """Return the values of a record by name; `asdict` copies every one, which costs most."""
    return {name: getattr(record, name) for name in record.__slots__}


def unpacked(buffer: bytearray) -> Iterator[Image | Outlines | NotUsed]:
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
        if "code" in head:
            yield NotUsed(head["code"], head["detail"])
        else:
            yield _outlines(head, body) if "masks" in head else _image(head, body)


def _image(head: dict[str, Any], body: bytes) -> Image:
    shape = tuple(head["shape"])
    planes = np.frombuffer(body, "<f4", count=len(head["frames"]) * math.prod(shape))
    planes = planes.reshape(-1, *shape)
    frames = tuple(
        Frame(number, digest, plane, Grid(**_tuples(grid)), place and Place(**_tuples(place)))
        for (number, digest, grid, place), plane in zip(head["frames"], planes, strict=True)
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


def _outlines(head: dict[str, Any], body: bytes) -> Outlines:
    masks, offset = [], 0
    for digest, (rows, columns), instance, frame, origin in head["masks"]:
        size = -(-rows * columns // 8)
        bits = np.frombuffer(body, np.uint8, count=size, offset=offset)
        pixels = np.unpackbits(bits, count=rows * columns).reshape(rows, columns).astype(np.bool_)
        offset += size
        masks.append(Outline(digest, pixels, instance, frame, origin and tuple(origin)))
    return Outlines(
        content=bytes.fromhex(head["content"]),
        masks=tuple(masks),
        patient=head["patient"],
        series=head["series"],
        covered=tuple(head["covered"]),
    )


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if value else value for name, value in fields.items()}
