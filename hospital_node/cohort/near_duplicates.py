"""Images that look alike although their bytes differ: re-exports, other compressions, crops of one.

* Each image is averaged to 16 x 16 values; which of them lie above their mean is its sign.
* Equal signs of two patients tell that one person may stand in the cohort twice. When the two are
  in different parts, what is trained on is also judged on.
* A sign that flat images share tells nothing: one with few values on either side is left out.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.manifest import ImageRow, Pseudonym

__all__ = ["Alike", "alike", "sign_of"]

SIDE = 16
LEAST = SIDE * SIDE // 8
"""Values on either side of the mean, for a sign to tell something."""


@dataclass(frozen=True, slots=True)
class Alike:
    """How many patients have an image that looks like another patient's."""

    patients: int
    across: int
    """Those of them whose likeness is in the other part."""


def sign_of(image: NDArray[np.float32]) -> int:
    """Return 64 bits that name what an image looks like in the large; 0: it tells nothing."""
    flat: tuple[int, ...] = tuple(range(image.ndim - 2))
    plane = image.mean(axis=flat, dtype=np.float64) if flat else image
    (rows, heights), (columns, widths) = map(_parts, plane.shape)
    sums = np.add.reduceat(plane, rows, axis=0, dtype=np.float64)
    means = np.add.reduceat(sums, columns, axis=1) / (heights[:, None] * widths)
    above = means > means.sum() / means.size
    count = int(np.count_nonzero(above))
    if not LEAST <= count <= above.size - LEAST:
        return 0
    named = hashlib.blake2b(np.packbits(above).tobytes(), digest_size=8).digest()
    return int.from_bytes(named, "big")


@lru_cache(maxsize=64)
def _parts(length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each of at most `SIDE` parts of a length begins, and how long it is."""
    parts = min(SIDE, length)
    edges = np.arange(parts + 1) * length // parts
    return edges[:-1], np.diff(edges)


def alike(rows: Sequence[ImageRow], signs: NDArray[np.uint64]) -> Alike:
    """Find the patients whose images look alike."""
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index, sign in enumerate(signs.tolist()):
        if sign:
            groups[sign].append(index)
    found, across = set[Pseudonym](), set[Pseudonym]()
    for group in groups.values():
        patients = {rows[index].patient for index in group}
        if len(patients) > 1:
            found |= patients
            if len({rows[index].part for index in group}) > 1:
                across |= patients
    return Alike(len(found), len(across))
