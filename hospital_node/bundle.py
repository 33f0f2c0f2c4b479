"""A released model as a MONAI bundle: a folder that `monai.bundle` loads; it predicts the same.

* Network and recipe are this package's own, so that nothing is written down twice and no bit
  differs: who uses the bundle has `consilium[node]` installed.
* MONAI evaluates strings of its configuration that begin with `$`, `@` or `%`. No text that a
  person wrote stands there: the contract is a file of its own, and words go into the model card.
* Weights are a file of tensors alone, which torch reads with `weights_only`.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import Dataset
from pydantic import TypeAdapter
from torch import Tensor, nn

from hospital_node.cohort.dicom import Image
from hospital_node.cohort.grids import restored
from hospital_node.cohort.sources import folder_files
from hospital_node.model_card import model_card
from hospital_node.models.registry import Network, build, load_arrays
from hospital_node.prediction import network_of, outcomes, prepared, readable
from schemas.contract import DataContract
from schemas.files import write_durably
from schemas.network import NetworkSpec
from schemas.plan import TrainingPlan
from schemas.release import ModelRelease
from schemas.software import VERSION
from schemas.wire.arrays import Arrays

_BATCH_IMAGES = 64
_SECOND = "logit of the second class"


class Whole(nn.Module):
    """A network with its fixed part: [batch, 1, height, width] to logits, [batch, 1, ...]."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.trained, self._features = network.module, network.features

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit per image, of the contract's second class, or one per pixel."""
        logits: Tensor = self.trained(self._features(images))
        return logits[:, None] if logits.dim() == 1 else logits


def whole(network: dict[str, Any], height: int, width: int, seed: int) -> Whole:
    """Build a network from its specification: a bundle's `network_def`."""
    spec: NetworkSpec = TypeAdapter(NetworkSpec).validate_json(json.dumps(network))
    return Whole(build(spec, height=height, width=width, seed=seed))


def dataset(folder: str, contract: str) -> Dataset:
    """Read a folder of DICOM by a contract's recipe: a bundle's `dataset`.

    Each item is a `file`, one `frame` of it from 1, the `image` [1, height, width], and the `grid`
    that it has in its file; a file that the contract refuses is left out.
    """
    rules = readable(DataContract.from_canonical(Path(contract).read_bytes()))
    files = folder_files(Path(folder), besides=Path(folder) / "labels.csv")
    read = outcomes(files, rules, progress=lambda _: None)
    images = {file: one for file, one in read.items() if isinstance(one, Image)}
    planes = prepared(images, rules)
    grids = {(file, one.number): one.grid for file in images for one in images[file].frames}
    return Dataset(
        [
            {
                "file": str(file),
                "frame": frame,
                "image": torch.from_numpy(plane)[None],
                "grid": grids[file, frame],
            }
            for (file, frame), plane in planes.items()
        ]
    )


def probabilities(images: Dataset, network: nn.Module) -> list[dict[str, Any]]:
    """Return each frame's probability of the contract's second class: a bundle's `run`."""
    return [
        {"file": one["file"], "frame": one["frame"], "probability": float(score)}
        for one, score in _scored(images, network)
    ]


def masks(
    images: Dataset, network: nn.Module, contract: str, threshold: float
) -> list[dict[str, Any]]:
    """Return where each frame shows the finding, [rows, columns] of its file: `run` as well."""
    recipe = DataContract.from_canonical(Path(contract).read_bytes()).preprocessing
    return [
        {
            "file": one["file"],
            "frame": one["frame"],
            "mask": restored((score >= threshold).numpy(), one["grid"], recipe),
        }
        for one, score in _scored(images, network)
    ]


def _scored(images: Dataset, network: nn.Module) -> Iterator[tuple[dict[str, Any], Tensor]]:
    """Yield each item with its score, or its pixels' scores."""
    network.eval()
    with torch.no_grad():
        for start in range(0, len(images), _BATCH_IMAGES):
            part = [images[at] for at in range(start, min(start + _BATCH_IMAGES, len(images)))]
            logits = network(torch.stack([one["image"] for one in part]))[:, 0]
            yield from zip(part, logits.double().sigmoid(), strict=True)


def write_bundle(release: ModelRelease, arrays: Arrays, folder: Path) -> None:
    """Write a bundle's folder; `arrays` are all of the network's, frozen ones too.

    Raises:
        InputRefused: the model's contract makes volumes, which a bundle does not read.
    """
    readable(release.contract)
    network = network_of(release)
    load_arrays(network.module, arrays)
    weights = io.BytesIO()
    torch.save(Whole(network).state_dict(), weights)
    write_durably(folder / "models" / "model.pt", weights.getbuffer())
    write_durably(folder / "configs" / "contract.json", release.contract.canonical())
    write_durably(folder / "configs" / "inference.json", _json(_inference(release)))
    write_durably(folder / "configs" / "metadata.json", _json(_metadata(release)))
    write_durably(folder / "docs" / "README.md", model_card(release).encode())


def _inference(release: ModelRelease) -> dict[str, Any]:
    """Return the configuration from which MONAI makes network and data and predicts."""
    recipe, plan = release.contract.preprocessing, release.plan
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "dicom",
        "device": "$torch.device('cpu')",
        "network_def": {
            "_target_": "hospital_node.bundle.whole",
            "network": plan.network.model_dump(mode="json"),
            "height": recipe.height,
            "width": recipe.width,
            "seed": plan.initial.seed,
        },
        "weights": "$torch.load(@bundle_root + '/models/model.pt', weights_only=True)",
        "network": "$(@network_def.load_state_dict(@weights), @network_def.to(@device))[1]",
        "dataset": {
            "_target_": "hospital_node.bundle.dataset",
            "folder": "@dataset_dir",
            "contract": "$@bundle_root + '/configs/contract.json'",
        },
        "inferer": {"_target_": "monai.inferers.SimpleInferer"},
        "predicted": {
            "_target_": "hospital_node.bundle.probabilities",
            "images": "@dataset",
            "network": "@network",
        }
        | (_masking(plan) if plan.metric == "dice" else {}),
        "initialize": ["$torch.manual_seed(0)"],
        "run": ["$@predicted"],
    }


def _masking(plan: TrainingPlan) -> dict[str, Any]:
    return {
        "_target_": "hospital_node.bundle.masks",
        "contract": "$@bundle_root + '/configs/contract.json'",
        "threshold": plan.gate.threshold,
    }


def _metadata(release: ModelRelease) -> dict[str, Any]:
    """Return what the bundle says of itself; digests and versions, no words of a person."""
    recipe, manifest = release.contract.preprocessing, release.manifest
    segments = release.plan.metric == "dice"
    return {
        "version": "1.0.0",
        "changelog": {"1.0.0": "as released"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"consilium": VERSION},
        "task": "Segmentation of single images" if segments else "Classification of single images",
        "description": f"Model {manifest.arrays} of run {manifest.run}, round {manifest.round}",
        "intended_use": "Research; see docs/README.md",
        "data_type": "dicom",
        "model_digest": manifest.arrays,
        "plan_digest": manifest.plan,
        "contract_digest": manifest.contract,
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "num_channels": 1,
                    "spatial_shape": [recipe.height, recipe.width],
                    "dtype": "float32",
                    "is_patch_data": False,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "logits",
                    "format": "segmentation" if segments else "classes",
                    "num_channels": 1,
                    "spatial_shape": [recipe.height, recipe.width] if segments else [1],
                    "dtype": "float32",
                    "is_patch_data": False,
                    "channel_def": {"0": "logit of the finding" if segments else _SECOND},
                }
            },
        },
    }


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
