"""The images of a cohort, normalised, and their masks, into the files that training opens.

* Memory holds the pixels of one patient at a time.
* Rows stand in the order of the images' digests.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.grids import deepened, sampled
from hospital_node.cohort.packs import seal, written
from hospital_node.cohort.readings import Readings
from hospital_node.cohort.selection import Arrival
from hospital_node.cohort.survey import Survey
from hospital_node.cohort.transforms import normalised, stacked
from schemas.contract import DataContract
from schemas.names import Digest
from schemas.recipe import Preprocessing

__all__ = ["packed", "packed_masks"]


def packed(
    readings: Readings, used: Sequence[Arrival], contract: DataContract, path: Path
) -> tuple[Digest, Survey]:
    """Normalise patient by patient, look at each image, and write it in the order of `used`."""
    survey = Survey.of([one.patient for one in used], contract.reference)
    recipe = contract.preprocessing
    patients: defaultdict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(used):
        patients[one.patient].append(index)
    with written(path, (len(used), *recipe.shape), "<f4") as write:
        for places in patients.values():
            images = [_image(readings, used[index], recipe) for index in places]
            for index, image in zip(places, normalised(images, recipe.normalisation), strict=True):
                write(index, image)
                survey.take(index, image)
    return seal(path), survey


def packed_masks(
    readings: Readings, used: Sequence[Arrival], recipe: Preprocessing, path: Path
) -> tuple[Digest, int]:
    """Write the masks in the order of `used`; count those that the recipe's size left empty."""
    lost = 0
    with written(path, (len(used), *recipe.mask_shape), "|u1") as write:
        for index, one in enumerate(used):
            mask = _mask(readings, one, recipe)
            is_marked = any(each is not None and not each.is_empty for each in one.masks)
            lost += is_marked and not mask.any()
            write(index, mask)
    return seal(path), lost


def _image(readings: Readings, one: Arrival, recipe: Preprocessing) -> NDArray[np.float32]:
    shape = recipe.shape if recipe.depth is None else recipe.shape[1:]
    planes = [readings.plane(frame, shape) for frame in one.frames]
    if recipe.depth is None:
        return planes[0]
    return stacked(np.stack(planes), recipe, spacing_mm=one.spacing_mm)


def _mask(readings: Readings, one: Arrival, recipe: Preprocessing) -> NDArray[np.uint8]:
    nothing = np.zeros((recipe.height, recipe.width), dtype=np.uint8)
    planes = [
        nothing
        if each is None
        else sampled(readings.mask(each.mask, each.size), source.grid, recipe)
        for each, source in zip(one.masks, one.sources, strict=True)
    ]
    if recipe.depth is None:
        return planes[0]
    return deepened(np.stack(planes), recipe, spacing_mm=one.spacing_mm)
