"""A segmentation, from masks of two kinds to a model that hospitals use."""

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture

import aggregator.cli
import deployment.cli
from aggregator.runs import stored
from hospital_node.cohort.store import open_cohort
from hospital_node.config import NodeHome
from hospital_node.delivery import models, opened_model
from hospital_node.prediction import network_of
from hospital_node.training.dice import dice_histogram, of_patients
from hospital_node.training.evaluation import scores
from hospital_node.training.examples import examples_of
from schemas.command_line import run
from schemas.dice import DiceHistogram
from schemas.update import RESOLUTION_BITS
from schemas.wire.arrays import declared_layout, decoded
from tests.segmenting import SIDE, made
from tests.study import SITES, Study, command


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = made(tmp_path_factory.mktemp("study"))
    study.conducted()
    return study


def name_of(study: Study) -> str:
    (found,) = (study.aggregator / "runs").iterdir()
    return found.name


def test_pngs_and_segmentations_train_one_model_that_passes_its_gate(study: Study) -> None:
    with study.opened() as embedded:
        _, state = stored(embedded.federation, name_of(study))
    assert state.accepted.round > 0
    verdict = state.verdict
    assert verdict is not None
    assert (verdict.metric, verdict.auroc) == ("dice", None)
    assert verdict.dice is not None
    assert verdict.dice > 0.5  # a model that marks nothing, or everything, is under 0.35
    assert "stratified Dice" in verdict.reason
    assert models(NodeHome(study.nodes["east"])) == [state.accepted.arrays]


def test_what_a_site_releases_is_the_dice_of_its_patients(study: Study) -> None:
    with study.opened() as embedded:
        plan, state = stored(embedded.federation, name_of(study))
    released = {one.site: one.histogram for one in state.accepted.histograms}
    for site in SITES:
        home = NodeHome(study.nodes[site])
        delivered = opened_model(home, state.accepted.arrays)
        cohort = open_cohort(home.cohort, plan.contract.pinned or "")
        network = network_of(delivered.release)
        examples = examples_of(
            network,
            cohort.pixels[cohort.rows("validation")],
            labels=cohort.targets("validation"),
            patients=cohort.patients("validation"),
        )
        body = delivered.packet.body
        found = scores(network, examples, decoded(body, declared_layout(body)))
        patients = of_patients(found, examples, threshold=0.5)
        assert released[site] == dice_histogram(patients, bins=20, noise_multiplier=None)


def reported(study: Study) -> tuple[str, dict[str, Any]]:
    """Write the report; return its page and its JSON."""
    assert run(aggregator.cli.app, ["audit", "report", "--home", str(study.aggregator)]) == 0
    (page,) = study.aggregator.rglob("*.html")
    return page.read_text(), json.loads(page.with_suffix(".json").read_text())


def test_the_report_and_a_bundle_speak_of_dice(study: Study, tmp_path: Path) -> None:
    text, told = reported(study)
    assert "stratified Dice" in text
    assert "AUROC" not in text
    assert told["accepted"]["value"] > 0.5
    tenths = [one["lowest_tenth"] for one in told["judgements"][-1]["verdict"]["sites"]]
    assert all(0 <= low < high <= 1 for low, high in tenths)
    assert text.count("Lowest tenth up to</th>") == len(told["judgements"])
    bundle = tmp_path / "bundle.zip"
    words = ["bundle", name_of(study), "--home", str(study.aggregator), "--out", str(bundle)]
    assert run(deployment.cli.app, words) == 0
    assert run(deployment.cli.app, ["verify", str(bundle)]) == 0


def overlap(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


def test_a_hospital_gets_masks_that_lie_on_its_images(study: Study, tmp_path: Path) -> None:
    home, out = study.nodes["east"], tmp_path / "worklist.csv"
    (model,) = models(NodeHome(home))
    source = study.folder / "data" / "east" / "dicom"
    (source / "hostile.dcm").write_bytes(b"DICM")
    words = ("model", "predict", source, "--home", home, "--model", model, "--out", out)
    command(*words)
    command(*words, expect=2)
    with out.open() as file:
        rows = {one["file"]: one for one in csv.DictReader(file)}
    assert rows.pop("hostile.dcm")["outcome"] == "not-dicom"
    (source / "hostile.dcm").unlink()
    overlaps = []
    for name, row in rows.items():
        assert (row["outcome"], row["model"], row["area_mm2"]) == ("predicted", model, "")
        path = out.parent / row["mask"]
        assert path.stat().st_mode & 0o077 == 0
        mask = np.asarray(Picture.open(path))
        assert mask.shape == (SIDE, SIDE)
        assert set(np.unique(mask)) <= {0, 255}
        assert int(row["pixels"]) == int((mask > 0).sum())
        assert float(row["share"]) == pytest.approx((mask > 0).mean(), abs=1e-6)
        true = source.parent / "masks" / name.replace(".dcm", ".png")
        if true.exists():
            overlaps.append(overlap(mask > 0, np.asarray(Picture.open(true)) > 0))
    assert len(overlaps) == 18
    assert float(np.mean(overlaps)) > 0.5

    folder = tmp_path / "bundle"
    command(
        *("model", "export", "--home", home, "--model", model),
        *("--format", "monai-bundle", "--out", folder),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of every configuration that it reads
        workflow = monai.bundle.ConfigWorkflow(
            config_file=str(folder / "configs" / "inference.json"),
            workflow_type="inference",
            logging_file=False,
            bundle_root=str(folder),
            dataset_dir=str(source),
        )
        workflow.initialize()
        (lines,) = workflow.run()
    assert len(lines) == len(rows)
    for line in lines:
        row = rows[Path(line["file"]).name]
        assert (line["mask"] == (np.asarray(Picture.open(out.parent / row["mask"])) > 0)).all()
    card = (folder / "docs" / "README.md").read_text()
    assert "| site | Dice |" in card
    assert "AUROC" not in card


def test_a_private_segmentation_is_charged_and_its_histograms_carry_noise(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)
    state = study.conducted()
    assert state.verdict is not None
    assert state.verdict.metric == "dice"
    assert len(state.histograms) == len(SITES)
    for one in state.histograms:
        assert isinstance(one.histogram, DiceHistogram)
        assert any(count % 2**RESOLUTION_BITS for count in one.histogram.counts)
    for site in SITES:
        command("budget", "show", "--home", study.nodes[site])
    text, told = reported(study)
    assert "one histogram of patients&#39; Dice coefficients" in text
    assert told["privacy"]["is_private"]
