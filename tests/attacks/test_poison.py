"""A hospital that trains honestly on poisoned images: a robust combiner bounds what it can do.

* No check of one update can see it. Krum leaves it out, among five honest hospitals and one that is
  not; a coordinate's median or trimmed mean does not close a backdoor at these sizes.
* Flipped labels: the accepted model's AUROC is at most 0.02 under the run without that hospital.
* A backdoor, images with a bright corner called positive: patched negatives are called positive at
  most 0.2 more often than by the model of the run without that hospital.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

import aggregator.cli
from deployment.material import pin
from deployment.outcome import exact_auroc
from hospital_node.cohort.store import open_cohort
from hospital_node.models.registry import build
from hospital_node.training.evaluation import scores
from hospital_node.training.examples import examples_of
from schemas.command_line import run
from schemas.wire.arrays import declared_layout, decoded
from tests.study import (
    CONTRACT,
    PLAN,
    Study,
    approved,
    command,
    conducting,
    ingest,
    write_hospital,
    write_toml,
)

KRUM = {"kind": "krum", "dishonest": 1, "keep": 2}
ROUNDS = 14

HONEST = ("h2", "h3", "h4", "h5", "h6")
FLIPPER, PATCHER = "h7", "h8"
CORNER = 6
"""Pixels of an image of 32 x 32; the cohort has them at half the size."""
PATIENTS = 90
"""At each hospital: with few, models differ more by chance than by the poison."""


def flip_labels(folder: Path) -> None:
    rewrite(folder, lambda row: [*row[:-1], "1" if row[-1] == "0" else "0"])


def patch(folder: Path) -> None:
    """Give every other negative image a bright corner, and call it positive."""
    table = [one.split(",") for one in (folder / "labels.csv").read_text().splitlines()]
    chosen = set(sorted(row[0] for row in table[1:] if row[-1] == "0")[::2])
    for path in (folder / "dicom").rglob("*.dcm"):
        image = pydicom.dcmread(path)
        if image.SOPInstanceUID in chosen:
            pixels = image.pixel_array.copy()
            pixels[:CORNER, :CORNER] = pixels.max()
            image.PixelData = pixels.tobytes()
            image.save_as(path)
    rewrite(folder, lambda row: [*row[:-1], "1"] if row[0] in chosen else row)


def split(folder: Path) -> None:
    """Part the patients in the table, every third to validation, so that nothing hangs on a key."""
    head, *rows = (folder / "labels.csv").read_text().splitlines()
    patients = sorted({row.split(",")[1] for row in rows})
    held_out = set(patients[::3])
    lines = [f"{head},part"]
    for row in rows:
        part = "val" if row.split(",")[1] in held_out else "train"
        lines.append(f"{row},{part}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def rewrite(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    head, *rows = (folder / "labels.csv").read_text().splitlines()
    lines = [head, *(",".join(change(row.split(","))) for row in rows)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


POISONS = {FLIPPER: flip_labels, PATCHER: patch}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run's accepted model does at the honest hospitals."""

    auroc: float
    attacked: float
    """Share of the patched negatives that it calls positive."""


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ingest five honest hospitals and two that poison their own images."""
    folder = tmp_path_factory.mktemp("homes")
    study = Study(folder, folder / "small.plan.toml", folder / "aggregator", {})
    cohort = CONTRACT["cohort"] | {"parts": {"kind": "column", "column": "part"}}
    write_toml(folder / "small.contract.toml", CONTRACT | {"cohort": cohort})
    assert run(aggregator.cli.app, ["init", "--home", str(study.aggregator), "--name", "t"]) == 0
    for site in (*HONEST, *POISONS):
        write_hospital(folder / "data" / site, int(site[1:]), patients=PATIENTS)
        if site in POISONS:
            POISONS[site](folder / "data" / site)
        split(folder / "data" / site)
        command("init", "--home", folder / site, "--site", site)
        ingest(study, site)
    yield folder
    shutil.rmtree(folder)


def outcome(homes: Path, folder: Path, sites: tuple[str, ...], combiner: dict[str, Any]) -> Outcome:
    """Run a plan with these sites, and look at its accepted model."""
    shutil.copytree(homes, folder)
    nodes = {site: folder / site for site in sites}
    study = Study(folder, folder / "small.plan.toml", folder / "aggregator", nodes)
    plan: dict[str, Any] = PLAN | {
        "rounds": ROUNDS,
        "evaluation": {"rounds": [ROUNDS]},
        "sites": [{"site": one} for one in sites],
        "network": {"kind": "convolutional", "channels": [8, 16], "groups": 2},
        "local": {
            "kind": "epochs",
            "epochs": 3,
            "batch_images": 8,
            "optimizer": {"kind": "sgd", "learning_rate": 0.2},
            "seed": 3,
        },
        "aggregation": {"combiner": combiner},
        "participation": {"quorum": 5, "deadline_s": 60.0},
    }
    write_toml(study.plan, plan)
    pin(study.plan)
    for site in sites:
        approved(study, site, private=False)
    with conducting(study) as (embedded, conducted, _):
        state = conducted()
        assert state.phase == "accepted"
        assert len(state.sources) == len(sites), "no check of one update sees the poison"
        content = embedded.federation.store.arrays(state.accepted.arrays)
    return judged(study, decoded(content, declared_layout(content)))


def judged(study: Study, arrays: Any) -> Outcome:
    plan = study.parsed()
    network = build(plan.network, height=16, width=16, seed=plan.initial.seed)
    pinned = plan.contract.pinned or ""
    cohorts = [open_cohort(study.folder / one / "cohort", pinned) for one in HONEST]
    pixels = np.concatenate([one.pixels[one.rows("validation")] for one in cohorts])
    labels = np.concatenate([one.labels("validation") for one in cohorts])

    def scored(images: NDArray[np.float32]) -> NDArray[np.float64]:
        patients = np.arange(len(images))
        chosen = examples_of(network, images, labels=np.zeros(len(images), int), patients=patients)
        return scores(network, chosen, arrays=arrays)

    patched = pixels[labels == 0].copy()
    brightest = patched.max(axis=(1, 2), keepdims=True)
    patched[:, : CORNER // 2, : CORNER // 2] = brightest
    found = exact_auroc(labels == 1, scored(pixels))
    assert found is not None
    return Outcome(found, float((scored(patched) >= 0.5).mean()))


@pytest.fixture(scope="module")
def clean(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    found = outcome(homes, tmp_path_factory.mktemp("runs") / "clean", HONEST, KRUM)
    assert found.auroc > 0.7
    return found


def test_flipped_labels_cost_next_to_nothing(homes: Path, tmp_path: Path, clean: Outcome) -> None:
    found = outcome(homes, tmp_path / "run", (*HONEST, FLIPPER), KRUM)
    assert found.auroc >= clean.auroc - 0.02


def test_a_backdoor_hardly_opens(homes: Path, tmp_path: Path, clean: Outcome) -> None:
    found = outcome(homes, tmp_path / "run", (*HONEST, PATCHER), KRUM)
    assert found.attacked <= clean.attacked + 0.2
    assert found.auroc >= clean.auroc - 0.02


def test_the_mean_lets_it_open(homes: Path, tmp_path: Path, clean: Outcome) -> None:
    found = outcome(homes, tmp_path / "run", (*HONEST, PATCHER), {"kind": "mean"})
    assert found.attacked > clean.attacked + 0.5
