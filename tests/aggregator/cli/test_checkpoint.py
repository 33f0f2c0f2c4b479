"""`aggregator checkpoint`, as a person types it, also while a run owns the home."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import aggregator.cli
from schemas.command_line import run
from schemas.wire.arrays import declared_layout, flat_values
from tests.study import SITES, Study, made


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = made(tmp_path_factory.mktemp("study"), evaluation={"rounds": [2]})
    study.conducted()
    return study


def said(capsys: pytest.CaptureFixture[str], study: Study, *words: str, expect: int = 0) -> str:
    capsys.readouterr()
    found = run(aggregator.cli.app, ["checkpoint", *words, "--home", str(study.aggregator)])
    assert found == expect
    streams = capsys.readouterr()
    return streams.err if expect else streams.out


def listed(capsys: pytest.CaptureFixture[str], study: Study) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(said(capsys, study, "list", "--json"))["checkpoints"]
    return found


def test_every_model_is_listed_with_what_became_of_it(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    found = listed(capsys, study)
    assert [one["status"] for one in found] == ["initial", "provisional", "accepted"]
    assert [one["value"] is None for one in found] == [True, True, False]
    assert [one["parent"] for one in found] == [None, found[0]["model"], found[1]["model"]]
    with study.opened():
        assert "accepted" in said(capsys, study, "list")


def test_a_model_is_shown_with_its_sources_and_its_line_from_the_initial_weights(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [one["model"] for one in listed(capsys, study)]
    shown = json.loads(said(capsys, study, "show", models[2][:20], "--json"))
    assert [one["model"] for one in shown["lineage"]] == models[::-1]
    assert [one["site"] for one in shown["checkpoint"]["sources"]] == list(SITES)
    assert shown["delivered"] == list(SITES)
    assert shown["verdict"]["outcome"] == "accepted"
    text = said(capsys, study, "show", models[2])
    assert "Delivered east, north, west" in text
    assert "not judged by the plan" in said(capsys, study, "show", models[1])


def test_two_models_are_compared_value_by_value(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _, last = (one["model"] for one in listed(capsys, study))
    found = json.loads(said(capsys, study, "compare", first, last, "--json"))
    objects = study.aggregator / "checkpoints" / "objects"
    left, right = (
        flat_values(content, declared_layout(content)).astype(np.float64)
        for content in (
            (objects / f"{one.removeprefix('sha256:')}.safetensors").read_bytes()
            for one in (first, last)
        )
    )
    assert found["distance"] == pytest.approx(float(np.linalg.norm(right - left)), rel=1e-9)
    cosine = float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))
    assert found["cosine"] == pytest.approx(cosine, rel=1e-9)
    squared = math.fsum(one["distance"] ** 2 for one in found["arrays"])
    assert math.sqrt(squared) == pytest.approx(found["distance"], rel=1e-9)
    assert {one["site"] for one in found["sites"]} == set(SITES)
    assert "L2 distance 0, cosine 1.0" in said(capsys, study, "compare", last, last)


def test_a_name_of_no_model_or_of_several_is_refused(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "0 models have" in said(capsys, study, "show", "zz", expect=2)
    assert "0 models have" in said(capsys, study, "show", "", expect=2)
    assert "0 models have" in said(capsys, study, "show", "sha256:", expect=2)


def test_a_model_whose_ancestor_was_changed_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, rounds=1, evaluation={"rounds": [1]})
    study.conducted()
    first, last = (one["model"] for one in listed(capsys, study))
    path = study.aggregator / "checkpoints" / "objects" / f"{first[7:]}.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert "checkpoint refused" in said(capsys, study, "show", last, expect=7)
    path.write_bytes(content)
    said(capsys, study, "show", last)
