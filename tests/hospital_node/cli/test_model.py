"""`hospital-node model`, as a person types it, and the bundle that the same model makes."""

import csv
import json
import math
import shutil
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch

import deployment.cli
from hospital_node.cohort.store import open_cohort
from hospital_node.config import NodeHome
from hospital_node.delivery import installed, models, opened_model, received
from hospital_node.node import opened
from hospital_node.prediction import network_of
from hospital_node.training.evaluation import scores
from hospital_node.training.examples import examples_of
from schemas.audit.events import ModelInstalled, ModelReceived
from schemas.audit.lines import read_facts
from schemas.command_line import run
from schemas.errors import ArraysRefused, CheckpointDamaged, EnvelopeRefused, InputRefused
from schemas.names import digest_of
from schemas.release import ModelRelease, packed, unpacked
from schemas.wire.arrays import declared_layout, decoded
from schemas.wire.envelope import opened as opened_envelope
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from tests.readers import killed
from tests.study import SITES, Study, command, made


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study whose model was released to every hospital, and is not in use yet."""
    study = made(tmp_path_factory.mktemp("study"), rounds=1, evaluation={"rounds": [1]})
    study.conducted()
    return study


@pytest.fixture
def east(study: Study) -> Iterator[NodeHome]:
    home = NodeHome(study.nodes["east"])
    yield home
    (home.models / "installed.json").unlink(missing_ok=True)


def said(capsys: pytest.CaptureFixture[str], *words: object, expect: int = 0) -> str:
    capsys.readouterr()
    command("model", *words, expect=expect)
    streams = capsys.readouterr()
    return streams.err if expect else streams.out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_delivered_model_is_in_use_after_a_person_installed_it(
    east: NodeHome, capsys: pytest.CaptureFixture[str]
) -> None:
    (model,) = models(east)
    listed = json.loads(said(capsys, "list", "--home", east.root, "--json"))
    assert listed["in_use"] is None
    assert [one["model"] for one in listed["models"]] == [model]
    refused = said(capsys, "predict", east.root, "--home", east.root, "--out", "x.csv", expect=2)
    assert "model refused: none is in use here, and none was named" in refused
    assert "0 models here" in said(
        capsys, "install", "77", "--home", east.root, "--approver", "A. Head", expect=2
    )
    assert "approver refused" in said(
        capsys, "install", model[:12], "--home", east.root, "--approver", " ", expect=2
    )
    said(capsys, "install", model[:20], "--home", east.root, "--approver", "A. Head")
    decision = installed(east)
    assert decision is not None
    assert (decision.arrays, decision.approver) == (model, "A. Head")
    assert "yes" in said(capsys, "list", "--home", east.root)
    assert [type(one) for one in read_facts(east.journal, ModelReceived, ModelInstalled)] == [
        ModelReceived,
        ModelInstalled,
    ]


def test_predictions_are_what_the_model_says_of_the_recipe_s_images(
    study: Study, east: NodeHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model,) = models(east)
    data, out = study.folder / "data" / "east", tmp_path / "east.csv"
    said(capsys, "install", model, "--home", east.root, "--approver", "A. Head")
    said(capsys, "predict", data, "--home", east.root, "--out", out)
    found = rows(out)
    assert out.stat().st_mode & 0o077 == 0
    assert {one["model"] for one in found} == {model}
    assert [
        (one["file"], one["probability"]) for one in found if one["outcome"] != "predicted"
    ] == [("labels.csv", "")]
    cohort = open_cohort(east.cohort, study.parsed().contract.pinned or "")
    delivered = opened_model(east, model)
    network = network_of(delivered.release)
    body = delivered.packet.body
    none = np.zeros(len(cohort.pixels), dtype=np.int64)
    examples = examples_of(network, cohort.pixels, labels=none, patients=none)
    expected = scores(network, examples, decoded(body, declared_layout(body)))
    probabilities = [float(one["probability"]) for one in found if one["probability"]]
    assert sorted(probabilities) == pytest.approx(sorted(expected), abs=1e-6)
    names = {one["sop_instance_uid"] for one in rows(data / "labels.csv")}
    assert {one["sop_instance_uid"] for one in found if one["probability"]} == names


def test_what_breaks_its_reader_costs_no_prediction_run(
    study: Study, east: NodeHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model,) = models(east)
    data = study.folder / "data" / "east" / "dicom"
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(next(data.rglob("*.dcm")), source)
    words = ("predict", source, "--home", east.root, "--model", model[:15])
    with killed(signal.SIGSEGV):
        said(capsys, *words, "--out", tmp_path / "killed.csv")
    assert [one["outcome"] for one in rows(tmp_path / "killed.csv")] == ["codec-crash"]
    said(capsys, *words, "--out", tmp_path / "read.csv")
    assert [one["outcome"] for one in rows(tmp_path / "read.csv")] == ["predicted"]


def test_a_monai_bundle_loads_and_predicts_the_same(
    study: Study, east: NodeHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model,) = models(east)
    data, folder = study.folder / "data" / "east" / "dicom", tmp_path / "bundle"
    words = ["export", model[:16], "--aggregator", str(study.aggregator), "--out", str(folder)]
    assert run(deployment.cli.app, words) == 0
    out = tmp_path / "east.csv"
    said(capsys, "predict", data, "--home", east.root, "--out", out, "--model", model[:15])
    expected = {str(data / one["file"]): float(one["probability"]) for one in rows(out)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of every configuration that it reads
        config = {"config_file": str(folder / "configs" / "inference.json")}
        places = {"bundle_root": str(folder), "dataset_dir": str(data)}
        workflow = monai.bundle.ConfigWorkflow(
            **config, workflow_type="inference", logging_file=False, **places
        )
        workflow.initialize()
        (lines,) = workflow.run()
        network = monai.bundle.load(
            name="bundle", bundle_dir=tmp_path, workflow_type="inference", source="monaihosting"
        )
    found = {one["file"]: one["probability"] for one in lines}
    assert found.keys() == expected.keys()
    assert max(abs(found[one] - expected[one]) for one in found) < 1e-6
    assert isinstance(network, torch.nn.Module)
    first = workflow.parser.get_parsed_content("dataset")[0]
    with torch.no_grad():
        logit = float(network.eval()(first["image"][None])[0, 0])
    assert 1 / (1 + math.exp(-logit)) == pytest.approx(expected[first["file"]], abs=1e-6)
    card = (folder / "docs" / "README.md").read_text()
    assert model in card
    assert "NO PRIVACY GUARANTEE" in card
    assert all(f"| {site} |" in card for site in SITES)


def test_no_word_of_a_person_stands_where_monai_evaluates_text(
    study: Study, east: NodeHome, tmp_path: Path
) -> None:
    (model,) = models(east)
    command(
        *("model", "export", "--home", east.root, "--model", model),
        *("--format", "monai-bundle", "--out", tmp_path / "bundle"),
    )
    contract, plan = study.parsed(), study.parsed()
    words = [plan.title, contract.name, "every invented patient", "Small invented radiographs"]
    for name in ("inference.json", "metadata.json"):
        text = (tmp_path / "bundle" / "configs" / name).read_text()
        assert not [one for one in words if one in text]


def test_a_release_goes_by_file_to_a_hospital_that_was_away(
    study: Study, east: NodeHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model,) = models(east)
    file = tmp_path / "model.release"
    said(capsys, "export", "--home", east.root, "--model", model[:16], "--out", file)
    west = NodeHome(study.nodes["west"])
    for path in sorted(west.models.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    said(capsys, "install", file, "--home", west.root, "--approver", "A. Head")
    assert models(west) == [model]
    assert "is there already" in said(
        capsys, "export", "--home", west.root, "--out", file, expect=2
    )


def _resigned(packet: Packet, key: SigningKey, federation: SigningKey) -> Packet:
    found = opened_envelope(packet.envelope, ModelRelease, key=federation.public)
    return Packet(signed(found, key), packet.body)


def test_a_release_that_is_not_the_federation_s_is_refused(study: Study, east: NodeHome) -> None:
    (model,) = models(east)
    packet = opened_model(east, model).packet
    service = SigningKey.load(study.aggregator / "keys" / "service")
    not_finite = packet.body[:-4] + b"\x00\x00\xc0\x7f"
    release = opened_envelope(packet.envelope, ModelRelease, key=service.public)
    manifest = release.manifest.model_copy(update={"arrays": digest_of(not_finite)})
    verdict = release.verdict.model_copy(update={"candidate": digest_of(not_finite)})
    poisoned = release.model_copy(update={"manifest": manifest, "verdict": verdict})
    stories = {
        "signed by a stranger": _resigned(packet, SigningKey.generate(), service),
        "other arrays": Packet(packet.envelope, packet.body[:-4] + b"\0\0\0\0"),
        "no envelope": Packet(b"{}", packet.body),
    }
    with opened(east.root) as node:
        for story in stories.values():
            with pytest.raises(EnvelopeRefused, match="refused"):
                received(node, story)
        with pytest.raises(ArraysRefused, match="not finite"):
            received(node, Packet(signed(poisoned, service), not_finite))
    assert models(east) == [model]


@pytest.mark.parametrize("name", ["model.safetensors", "release.json"])
def test_a_model_that_was_changed_here_is_not_used(
    study: Study, east: NodeHome, tmp_path: Path, name: str
) -> None:
    (model,) = models(east)
    path = east.models / model.removeprefix("sha256:") / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointDamaged, match="is not as it was released"):
        opened_model(east, model)
    command(
        *("model", "predict", study.folder / "data" / "east" / "dicom", "--home", east.root),
        *("--out", tmp_path / "x.csv", "--model", model),
        expect=7,
    )
    assert not (tmp_path / "x.csv").exists()
    path.write_bytes(content)
    with pytest.raises(InputRefused, match="is not here"):
        opened_model(east, digest_of(b"unknown"))


def test_a_release_of_a_file_is_what_was_signed(study: Study, east: NodeHome) -> None:
    (model,) = models(east)
    packet = opened_model(east, model).packet
    assert unpacked(packed(packet)) == packet
    assert packet.envelope == next(study.aggregator.glob("runs/*/release.json")).read_bytes()
