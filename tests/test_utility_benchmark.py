"""The utility benchmark's plans are what their names say, and it does without its images."""

import json
import sys
from pathlib import Path

import pytest

from schemas.accounting import epsilon_rdp
from schemas.plan import TrainingPlan
from tests.benchmarks import utility
from tests.benchmarks._chest import Figures

PRIVATE = {name: one for name, one in utility.SETTINGS.items() if one.noise_multiplier is not None}


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_setting_composes_to_its_epsilon_and_hardly_below(name: str) -> None:
    plan = TrainingPlan.model_validate_json(
        json.dumps(utility.plan(PRIVATE[name], tuple(utility.SITES), seed=11))
    )
    event = plan.train_event()
    assert event is not None
    spent = epsilon_rdp([event] * plan.rounds, delta=utility.DELTA)
    assert 0.99 < spent / float(name.rpartition("_")[2]) <= 1.0


def test_the_setting_without_privacy_says_so() -> None:
    fields = utility.plan(utility.SETTINGS["non_private"], ("nih",), seed=11)
    plan = TrainingPlan.model_validate_json(json.dumps(fields))
    assert plan.privacy.kind == "none"
    assert plan.train_event() is None


def test_without_the_images_it_says_that_it_was_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(utility, "DATA", tmp_path / "none")
    monkeypatch.setattr(sys, "argv", ["utility", "--json"])
    utility.main()
    assert "skipped" in json.loads(capsys.readouterr().out)


def test_figures_are_means_with_their_spread() -> None:
    figures = [
        dict.fromkeys(
            utility.SETTINGS,
            Figures({"guangzhou": 0.9, "nih": nih}, {"guangzhou": None, "nih": 8.0}),
        )
        for nih in (0.7, 0.8, 0.9)
    ]
    told = utility.tables(figures)
    assert told["auroc"]["epsilon_8"] == {"guangzhou": [0.9, 0.0], "nih": [0.8, 0.1]}
    assert told["epsilon"]["epsilon_8"] == {"nih": [8.0, 0.0]}
