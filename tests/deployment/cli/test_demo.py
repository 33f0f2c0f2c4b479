"""`consilium demo` and `consilium run`, as a user types them, on small invented hospitals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deployment.cli
from schemas.command_line import run
from schemas.files import owned
from tests.study import CONTRACT, PLAN, PRIVATE, SITES, made, write_hospital, write_toml

PRIVATE_PLAN = PLAN | PRIVATE | {"evaluation": {"rounds": [2], "bins": 2, "noise_multiplier": 0.7}}
"""Noise that lets thirty patients carry a figure."""


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospitals")
    for number, site in enumerate(SITES):
        write_hospital(folder / site, number)
    return folder


def consilium(*words: object) -> int:
    return run(deployment.cli.app, [str(one) for one in words])


def plan_file(folder: Path, fields: dict[str, Any] = PRIVATE_PLAN) -> Path:
    write_toml(folder / "plans" / "small.contract.toml", CONTRACT)
    write_toml(folder / "plans" / "small.plan.toml", fields)
    return folder / "plans" / "small.plan.toml"


def demo(folder: Path, data: Path, plan: Path, *more: object) -> int:
    return consilium("demo", "--plan", plan, "--data", data, "--workdir", folder / "work", *more)


def outcome(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return whole


def test_the_last_line_of_json_has_the_promised_shape(
    tmp_path: Path, hospitals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(tmp_path, hospitals, plan_file(tmp_path), "--json") == 0
    found = outcome(capsys)
    assert set(found) == {
        *("sites", "rounds", "accepted_round", "auroc", "auroc_exact"),
        *("report", "workdir", "seconds", "bundle", "bundle_verified"),
    }
    assert [one["site"] for one in found["sites"]] == list(SITES)
    fields = {"site", "patients", "epsilon", "delta", "auroc", "auroc_exact"}
    assert all(set(one) == fields for one in found["sites"])
    assert all(0 < one["epsilon"] <= 8.0 and one["delta"] == 1e-4 for one in found["sites"])
    assert all(one["patients"] == 30 for one in found["sites"])
    fields = {"round", "verdict", "reason", "auroc", "dice", "seconds"}
    assert all(set(one) == fields for one in found["rounds"])
    assert [one["round"] for one in found["rounds"]] == [1, 2]
    assert Path(found["report"]).is_file()
    assert Path(found["report"]).with_suffix(".json").is_file()
    assert Path(found["bundle"]).is_file()
    assert found["bundle_verified"] is True


def test_a_plan_without_privacy_says_so_loudly_and_has_no_epsilon(
    tmp_path: Path, hospitals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(tmp_path, hospitals, plan_file(tmp_path, PLAN), "--json") == 0
    captured = capsys.readouterr()
    assert "NO PRIVACY" in captured.out + captured.err
    sites = json.loads(captured.out.splitlines()[-1])["sites"]
    assert [(one["epsilon"], one["delta"]) for one in sites] == [(None, None)] * len(SITES)


def _without_column(site: Path) -> None:
    labels = site / "labels.csv"
    labels.write_text(labels.read_text().replace("label", "finding", 1))


def _unknown_label(site: Path) -> None:
    labels = site / "labels.csv"
    labels.write_text(labels.read_text().replace(",1\n", ",7\n", 1))


def _empty(site: Path) -> None:
    shutil.rmtree(site / "dicom")
    (site / "dicom").mkdir()


def _few_patients(site: Path) -> None:
    for patient in sorted((site / "dicom").iterdir())[3:]:
        shutil.rmtree(patient)


def _no_images(site: Path) -> None:
    for path in (site / "dicom").rglob("*.dcm"):
        path.write_bytes(b"no image at all")


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing label column": (_without_column, "label"),
    "unknown label": (_unknown_label, "label"),
    "empty folder": (_empty, "source refused"),
    "too few patients": (_few_patients, "patients"),
    "no image": (_no_images, "source refused"),
}


@pytest.mark.parametrize("story", BROKEN)
def test_a_hospital_whose_data_do_not_fit_is_left_out_and_the_others_go_on(
    tmp_path: Path, hospitals: Path, capsys: pytest.CaptureFixture[str], story: str
) -> None:
    damage, words = BROKEN[story]
    data = tmp_path / "data"
    shutil.copytree(hospitals, data)
    damage(data / "north")
    assert demo(tmp_path, data, plan_file(tmp_path), "--json") == 0
    captured = capsys.readouterr()
    assert words in captured.err
    assert "next: " in captured.err
    sites = json.loads(captured.out.splitlines()[-1])["sites"]
    assert {one["site"]: one["patients"] for one in sites} == {
        "east": 30,
        "north": None,
        "west": 30,
    }
    assert not (tmp_path / "work" / "nodes" / "north" / "cohort").is_dir() or not any(
        (tmp_path / "work" / "nodes" / "north" / "cohort").iterdir()
    )


REFUSED: dict[str, tuple[Callable[[Path, Path], list[object]], int, str]] = {
    "data without a plan": (lambda _, data: ["--data", data], 2, "none is guessed"),
    "a shipped plan without data": (lambda *_: ["--plan", "chest-xray"], 2, "--data DIR"),
    "invented hospitals with data": (
        lambda _, data: ["--plan", "synthetic", "--data", data],
        2,
        "invents its hospitals",
    ),
    "no such plan": (lambda _, data: ["--plan", "x.toml", "--data", data], 2, "cannot be read"),
    "a plan of other hospitals than the invented ones": (
        lambda folder, _: ["--plan", plan_file(folder)],
        2,
        "the plan names east, north, west, and only northgate, eastfield, southbank, westhill",
    ),
    "the invented hospitals under another contract": (
        lambda folder, _: [
            "--plan",
            plan_file(
                folder, PLAN | {"sites": [{"site": "westhill"}], "participation": {"quorum": 1}}
            ),
        ],
        2,
        "the plan's contract is small 1.0.0, and only",
    ),
    "a site without a folder": (
        lambda folder, _: ["--plan", plan_file(folder), "--data", folder],
        2,
        "have no folder in --data: east, north, west",
    ),
}


@pytest.mark.parametrize("story", REFUSED)
def test_wrong_options_are_refused_in_one_paragraph_with_a_next_step(
    tmp_path: Path, hospitals: Path, capsys: pytest.CaptureFixture[str], story: str
) -> None:
    words, status, message = REFUSED[story]
    options = words(tmp_path, hospitals)
    assert consilium("demo", "--workdir", tmp_path / "work", *options) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in "\n".join(lines)
    assert lines[-1].startswith("next: ")


def test_a_folder_that_holds_something_is_not_worked_in(
    tmp_path: Path, hospitals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.txt").write_text("mine")
    assert demo(tmp_path, hospitals, plan_file(tmp_path)) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["mine.txt"]


def test_a_run_goes_on_without_a_home_that_is_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    nodes = [word for home in study.nodes.values() for word in ("--node", home)]
    with owned(study.nodes["west"]):
        words = ("run", study.plan, "--aggregator", study.aggregator, *nodes, "--json")
        assert consilium(*words) == 0
    captured = capsys.readouterr()
    assert "west is in use by another command" in captured.err
    found = json.loads(captured.out.splitlines()[-1])
    assert [one["round"] for one in found["rounds"]] == [1, 2]


def test_a_plan_that_is_not_pinned_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, approve=False)
    write_toml(study.plan, PLAN)
    words = ("run", study.plan, "--aggregator", study.aggregator, "--node", study.nodes["east"])
    assert consilium(*words) == 2
    assert "consilium init-weights" in capsys.readouterr().err


def test_an_edited_contract_or_weights_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    words = ("run", study.plan, "--aggregator", study.aggregator, "--node", study.nodes["east"])
    contract = study.plan.parent / "small.contract.toml"
    before = contract.read_text()
    contract.write_text(before.replace("Tests", "Other", 1))
    assert consilium(*words) == 2
    assert "contract refused" in capsys.readouterr().err
    contract.write_text(before)
    weights = study.plan.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert consilium(*words) == 2
    assert "initial arrays refused" in capsys.readouterr().err


def test_init_weights_repeats_to_the_same_plan(tmp_path: Path) -> None:
    plan = plan_file(tmp_path)
    assert consilium("init-weights", plan) == 0
    once = plan.read_text()
    assert consilium("init-weights", plan) == 0
    assert plan.read_text() == once
