"""Files of many arrays of one shape, which training maps into memory: pixels, and masks.

* Written row by row in any order, for the owner alone, and on disk before they are named.
* A digest that was taken is taken again only after something moved the file.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.names import Digest

__all__ = ["digest_while_unchanged", "seal", "written"]


@contextmanager
def written(
    path: Path, shape: tuple[int, ...], dtype: str
) -> Iterator[Callable[[int, NDArray[Any]], None]]:
    """Lend what writes rows of `dtype` into a file, in any order.

    Not through a memory map, whose pages would count as this process's memory.
    """
    with path.open("wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        start, size = file.tell(), np.dtype(dtype).itemsize * math.prod(shape[1:])
        file.truncate(start + size * shape[0])

        def write(index: int, row: NDArray[Any]) -> None:
            os.pwrite(file.fileno(), row.astype(dtype).tobytes(), start + index * size)

        yield write


def seal(path: Path) -> Digest:
    """Put a file on disk for its owner alone, and name it."""
    with path.open("rb") as file:
        os.fchmod(file.fileno(), 0o600)
        os.fsync(file.fileno())
    return _digest_of_file(path)


def digest_while_unchanged(path: Path) -> Digest:
    """Name a file by its bytes; one that nothing has moved since is not read again."""
    return _digest(path, _state_of(path))


def _state_of(path: Path) -> tuple[int, ...]:
    """Say what any write to a file moves; nobody but the system sets the change time."""
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=16)
def _digest(path: Path, _state: tuple[int, ...]) -> Digest:
    return _digest_of_file(path)


def _digest_of_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
