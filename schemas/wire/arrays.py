"""Named arrays as safetensors, held against a declared layout.

* Bytes are canonical: arrays in name order, no metadata, no gaps; so equal arrays have equal
  digests.
* Names, shapes, dtypes, offsets and length are compared with the layout before any value is read.
* Values that are not finite are refused on both ways.
"""

import json
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ArraysRefused
from schemas.wire.layout import ArraySpec, Layout

Arrays: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Arrays by name, in the layout's order."""

_DTYPES = {"float32": ("F32", np.dtype("<f4"))}


def layout_of(arrays: Arrays) -> Layout:
    """Describe arrays; names are sorted."""
    return tuple(ArraySpec(name=name, shape=arrays[name].shape) for name in sorted(arrays))


def header(layout: Layout) -> bytes:
    """Return the only safetensors header that is allowed for a layout, length prefix included."""
    table: dict[str, object] = {}
    start = 0
    for one in layout:
        code, dtype = _DTYPES[one.dtype]
        stop = start + one.size * dtype.itemsize
        table[one.name] = {"dtype": code, "shape": list(one.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def encoded(arrays: Arrays, layout: Layout) -> bytes:
    """Write arrays of this layout.

    Raises:
        ArraysRefused: other names, shapes or dtypes, or a value that is not finite.
    """
    if sorted(arrays) != [one.name for one in layout]:
        raise _refused("names differ from the layout")
    parts: list[bytes | memoryview] = [header(layout)]
    for one in layout:
        array = arrays[one.name]
        if array.shape != one.shape or array.dtype != np.float32:
            raise _refused(f"{one.name} differs from the layout in shape or dtype")
        if not np.isfinite(array).all():
            raise _refused(f"{one.name} holds values that are not finite")
        # Flat: an array without a dimension, or without a value, has no bytes of its own to view.
        parts.append(np.ascontiguousarray(array, dtype="<f4").reshape(-1).view(np.uint8).data)
    return b"".join(parts)


def decoded(content: bytes | memoryview, layout: Layout) -> dict[str, NDArray[np.float32]]:
    """Read arrays of this layout; the values are views of `content`, read-only.

    Raises:
        ArraysRefused: other names, shapes, dtypes or length, or a value that is not finite.
    """
    flat = flat_values(content, layout)
    if not np.isfinite(flat).all():
        raise _refused("values that are not finite")
    arrays: dict[str, NDArray[np.float32]] = {}
    start = 0
    for one in layout:
        arrays[one.name] = flat[start : start + one.size].reshape(one.shape)
        start += one.size
    return arrays


def flat_values(content: bytes | memoryview, layout: Layout) -> NDArray[np.float32]:
    """Return all values in layout order as one read-only view, after the header was checked.

    Raises:
        ArraysRefused: other names, shapes, dtypes or length.
    """
    expected = header(layout)
    size = len(expected) + 4 * sum(one.size for one in layout)
    if len(content) != size:
        raise _refused(f"{len(content)} bytes, the layout needs {size}")
    if bytes(content[: len(expected)]) != expected:
        raise _refused("names, shapes, dtypes or order differ from the layout")
    values: NDArray[np.float32] = np.frombuffer(content, dtype="<f4", offset=len(expected))
    values.flags.writeable = False  # a memoryview may be of something that changes
    return values


def declared_layout(content: bytes | memoryview) -> Layout:
    """Read the layout that a trusted arrays file declares of itself (its digest was checked).

    Raises:
        ArraysRefused: not canonical safetensors of float32 arrays.
    """
    length = int.from_bytes(bytes(content[:8]), "little")
    if length > min(len(content) - 8, 2**24):
        raise _refused("no safetensors header")
    try:
        table = json.loads(bytes(content[8 : 8 + length]))
        layout = tuple(
            ArraySpec(name=name, shape=tuple(table[name]["shape"])) for name in sorted(table)
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused("no safetensors header of float32 arrays") from None
    flat_values(content, layout)
    return layout


def _refused(found: str) -> ArraysRefused:
    return ArraysRefused(
        f"arrays refused: {found}; only the declared layout with finite values is allowed",
        next_step="check that the plan, its initial arrays and the installed versions are the same "
        "on both sides",
    )
