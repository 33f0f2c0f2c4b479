"""Images that look alike although their bytes differ: re-exports, other compressions, crops of one.

* Each image is averaged to 16 x 16 values; which of them lie above their mean is its sign.
* Equal signs of two patients tell that one person may stand in the cohort twice. When the two are
  in different parts, what is trained on is also judged on.
* A sign that flat images share tells nothing: one with few values on either side is left out.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.contract_checks import Finding
from hospital_node.cohort.store import Cohort

__all__ = ["near_duplicates"]

SIDE = 16
LEAST = SIDE * SIDE // 8
"""Values on either side of the mean, for a sign to tell something."""


def near_duplicates(cohort: Cohort) -> tuple[Finding, ...]:
    """Find patients whose images look alike."""
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for index in range(len(cohort.pixels)):
        sign = _sign(np.asarray(cohort.pixels[index]))
        if sign is not None:
            groups[sign].append(index)
    return tuple(_findings(cohort, list(groups.values())))


def _sign(image: NDArray[np.float32]) -> bytes | None:
    plane = image.reshape(-1, *image.shape[-2:]).mean(axis=0, dtype=np.float64)
    rows = np.array_split(plane, min(SIDE, plane.shape[0]), axis=0)
    means = np.array(
        [
            [part.mean() for part in np.array_split(row, min(SIDE, plane.shape[1]), axis=1)]
            for row in rows
        ]
    )
    above = means > means.mean()
    count = int(above.sum())
    if not LEAST <= count <= above.size - LEAST:
        return None
    return np.packbits(above).tobytes()


def _findings(cohort: Cohort, groups: Sequence[Sequence[int]]) -> Iterator[Finding]:
    rows = cohort.manifest.rows
    patients = across = 0
    for group in groups:
        alike = {rows[index].patient for index in group}
        if len(alike) > 1:
            patients += len(alike)
            across += len(alike) * (len({rows[index].part for index in group}) > 1)
    for code, count, found in (
        ("near-duplicate", patients, "patients with an image that looks like another patient's"),
        ("near-duplicate-across-parts", across, "such patients in different parts"),
    ):
        if count:
            yield Finding(
                code=code,
                pointer="/cohort/parts",
                expected="each person under one patient identifier",
                found=found,
                count=count,
                severity="warn",
                remedy="find out whether one person has two identifiers, and mend the labels table",
            )
