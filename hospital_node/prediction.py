"""What a released model says of a folder of DICOM: a probability, or where the finding is.

* Images, or a file's frames where the contract takes each, pass through the recipe of the model's
  own contract, as in training; a file that it would refuse gets its coded reason instead.
* Files are read in processes of their own, as for a cohort: what breaks one costs one file.
* Signs of burned-in text do not matter here: nothing is stored, and nothing leaves.
* Memory holds one batch of images. Where the contract normalises by patient it holds all of them,
  and a patient's images must stand in the folder together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from hospital_node.cohort.desk import one_for_each_core
from hospital_node.cohort.dicom import Frame, Image
from hospital_node.cohort.grids import restored
from hospital_node.cohort.outlines import Outlines
from hospital_node.cohort.reasons import NotUsed
from hospital_node.cohort.transforms import Plane, normalised
from hospital_node.cohort.workers import read_apart
from hospital_node.models.registry import Network, built
from hospital_node.training.evaluation import scores
from hospital_node.training.examples import examples_of
from schemas.contract import DataContract
from schemas.errors import InputRefused
from schemas.image_rules import Volume
from schemas.recipe import PatientNormalisation
from schemas.release import ModelRelease
from schemas.wire.arrays import Arrays

Place: TypeAlias = tuple[Path, int]
"""A file and one of its frames, from 1."""

PREDICTED = "predicted"
_BATCH_IMAGES = 64


@dataclass(frozen=True, slots=True)
class Marked:
    """Where a model sees the finding in one frame."""

    mask: NDArray[np.bool_]
    """[rows, columns] as the file stores them."""
    pixel_mm2: float | None
    """What a pixel covers; None where the contract does not ask how large one is."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One frame's line, or that of a file that was not used."""

    file: Path
    instance: str
    """The file's own SOP instance UID; empty where it was not read."""
    frame: int | None
    """From 1; None where the file was not used."""
    probability: float | None
    """Of the contract's second class; None where the file was not used, or was segmented."""
    outcome: str
    """`predicted`, or the code of the reason why not."""
    marked: Marked | None = None
    """Where the finding is, of a segmentation."""


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
    contract = readable(release.contract)
    torch.set_num_threads(release.plan.threads)
    network = network_of(release)
    whole = isinstance(contract.preprocessing.normalisation, PatientNormalisation)
    size = max(1, len(files)) if whole else _BATCH_IMAGES
    for start in range(0, len(files), size):
        batch = list(outcomes(files[start : start + size], contract, progress=progress).items())
        yield from _predicted(batch, release, network, arrays)


def outcomes(
    files: Sequence[Path], contract: DataContract, *, progress: Callable[[int], None]
) -> dict[Path, Image | NotUsed]:
    """Read files apart; return what each gave, in their order."""
    found: dict[int, Image | NotUsed] = {}
    for number, outcome in read_apart(files, contract, workers=one_for_each_core()):
        # A contract that is `readable` has no masks.
        found[number] = NotUsed("sop-class") if isinstance(outcome, Outlines) else outcome
        progress(1)
    return {file: found[number] for number, file in enumerate(files)}


def network_of(release: ModelRelease) -> Network:
    """Build the network of a released model; its arrays are not in it yet."""
    return built(release.plan, release.contract.preprocessing)


def readable(contract: DataContract) -> DataContract:
    """Return the contract as reading for a prediction needs it: without masks, whatever the text.

    Raises:
        InputRefused: it makes volumes of many files, which are not predicted yet.
    """
    if isinstance(contract.image.frames, Volume):
        message = (
            "prediction refused: the model's contract makes volumes, only images are predicted"
        )
        raise InputRefused(message, next_step="use a model of single images or frames")
    rules = contract.deidentification.model_copy(update={"burned_in": "warn"})
    labels = contract.labels.model_copy(update={"mask": None})
    return contract.model_copy(update={"deidentification": rules, "checks": (), "labels": labels})


def _predicted(
    batch: Sequence[tuple[Path, Image | NotUsed]],
    release: ModelRelease,
    network: Network,
    arrays: Arrays,
) -> Iterator[Prediction]:
    images = {file: one for file, one in batch if isinstance(one, Image)}
    planes = prepared(images, release.contract)
    found = _scores(planes, network, arrays) if planes else {}
    for file, one in batch:
        if isinstance(one, Image):
            for frame in one.frames:
                yield _line(file, one.instance, frame, release=release, scores=found)
        else:
            yield Prediction(file, "", None, None, one.code)


def _line(
    file: Path,
    instance: str,
    frame: Frame,
    *,
    release: ModelRelease,
    scores: Mapping[Place, NDArray[np.float64]],
) -> Prediction:
    own = scores[file, frame.number]
    if release.plan.metric != "dice":
        return Prediction(file, instance, frame.number, float(own), PREDICTED)
    recipe, grid = release.contract.preprocessing, frame.grid
    mask = restored(own[0] >= release.plan.gate.threshold, grid, recipe)
    covered = None if grid.spacing_mm is None else grid.spacing_mm[0] * grid.spacing_mm[1]
    return Prediction(file, instance, frame.number, None, PREDICTED, Marked(mask, covered))


def _scores(
    planes: Mapping[Place, Plane], network: Network, arrays: Arrays
) -> dict[Place, NDArray[np.float64]]:
    unknown = np.zeros(len(planes), dtype=np.int64)
    pixels = np.stack(list(planes.values()))
    examples = examples_of(network, pixels, labels=unknown, patients=unknown)
    return dict(zip(planes, scores(network, examples, arrays), strict=True))


def prepared(images: Mapping[Path, Image], contract: DataContract) -> dict[Place, Plane]:
    """Normalise the frames of files as the contract says, in the files' order.

    A file without a patient stands for itself.
    """
    groups: defaultdict[str | Path, list[Path]] = defaultdict(list)
    for file, one in images.items():
        groups[one.patient or file].append(file)
    planes: dict[Place, Plane] = {}
    for files in groups.values():
        frames = {(file, one.number): one for file in files for one in images[file].frames}
        group = [one.plane for one in frames.values()]
        planes |= zip(frames, normalised(group, contract.preprocessing.normalisation), strict=True)
    return {place: planes[place] for place in sorted(planes)}
