"""What a released model says of a folder of DICOM.

* Images pass through the recipe of the model's own contract, as in training; a file that the
  contract would refuse gets its coded reason in place of a probability.
* Signs of burned-in text do not matter here: nothing is stored, and nothing leaves.
* Memory holds one batch of images. Where the contract normalises by patient it holds all of them,
  and a patient's images must stand in the folder together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hospital_node.cohort.dicom import Image, NotUsed, read
from hospital_node.cohort.transforms import Plane, normalised
from hospital_node.models.registry import Network, build
from hospital_node.training.evaluation import scores
from hospital_node.training.examples import examples_of
from schemas.contract import DataContract, PatientNormalisation
from schemas.release import ModelRelease
from schemas.wire.arrays import Arrays

PREDICTED = "predicted"
_BATCH_IMAGES = 64


@dataclass(frozen=True, slots=True)
class Prediction:
    """One file's line."""

    file: Path
    instance: str
    """The file's own SOP instance UID; empty where it was not read."""
    probability: float | None
    """Of the contract's second class; None where the file was not used."""
    outcome: str
    """`predicted`, or the code of the reason why not."""


def predictions(
    release: ModelRelease,
    arrays: Arrays,
    files: Sequence[Path],
    *,
    progress: Callable[[int], None],
) -> Iterator[Prediction]:
    """Yield a line for every file, in the order of `files`; `progress` hears of each file read.

    `arrays` are all of the network's, frozen ones too.
    """
    torch.set_num_threads(release.plan.threads)
    network, contract = network_of(release), readable(release.contract)
    whole = isinstance(contract.preprocessing.normalisation, PatientNormalisation)
    size = max(1, len(files)) if whole else _BATCH_IMAGES
    for start in range(0, len(files), size):
        batch = []
        for file in files[start : start + size]:
            batch.append((file, read(file, contract)))
            progress(1)
        yield from _predicted(batch, contract, network, arrays)


def network_of(release: ModelRelease) -> Network:
    """Build the network of a released model; its arrays are not in it yet."""
    recipe, plan = release.contract.preprocessing, release.plan
    return build(plan.network, height=recipe.height, width=recipe.width, seed=plan.initial.seed)


def readable(contract: DataContract) -> DataContract:
    """Return the contract as reading for a prediction needs it: burned-in text does not matter."""
    rules = contract.deidentification.model_copy(update={"burned_in": "warn"})
    return contract.model_copy(update={"deidentification": rules})


def _predicted(
    batch: Sequence[tuple[Path, Image | NotUsed]],
    contract: DataContract,
    network: Network,
    arrays: Arrays,
) -> Iterator[Prediction]:
    images = {file: one for file, one in batch if isinstance(one, Image)}
    found = _probabilities(images, contract, network, arrays) if images else {}
    for file, one in batch:
        if isinstance(one, Image):
            yield Prediction(file, one.instance, found[file], PREDICTED)
        else:
            yield Prediction(file, "", None, one.code)


def _probabilities(
    images: dict[Path, Image], contract: DataContract, network: Network, arrays: Arrays
) -> dict[Path, float]:
    planes = prepared(images, contract)
    pixels = np.stack([planes[file] for file in images])
    unknown = np.zeros(len(pixels), dtype=np.int64)
    examples = examples_of(network, pixels, labels=unknown, patients=unknown)
    return dict(zip(images, map(float, scores(network, examples, arrays)), strict=True))


def prepared(images: dict[Path, Image], contract: DataContract) -> dict[Path, Plane]:
    """Normalise images as the contract says; one without a patient stands for itself."""
    groups: defaultdict[str | Path, list[Path]] = defaultdict(list)
    by_patient = isinstance(contract.preprocessing.normalisation, PatientNormalisation)
    for file, one in images.items():
        groups[one.patient if by_patient and one.patient else file].append(file)
    planes: dict[Path, Plane] = {}
    for files in groups.values():
        group = [images[file].plane for file in files]
        planes |= zip(files, normalised(group, contract.preprocessing.normalisation), strict=True)
    return planes
