"""Released models that come while a hospital's node may be cut off at any moment."""

import shutil
from pathlib import Path

from hospital_node.delivery import models, opened_model, received
from hospital_node.node import opened
from schemas.audit.events import ModelReceived
from schemas.audit.lines import read_facts
from tests.study import made


def test_a_model_kept_before_a_crash_is_logged_once_when_it_comes_again(tmp_path: Path) -> None:
    study = made(tmp_path / "study", rounds=1, evaluation={"rounds": [1]})
    with study.opened():
        pass  # enrols every node
    cut_off = tmp_path / "east"
    shutil.copytree(study.nodes["east"], cut_off)
    study.conducted()
    shutil.copytree(study.nodes["east"] / "models", cut_off / "models", dirs_exist_ok=True)
    with opened(cut_off) as node:
        [model] = models(node.home)
        packet = opened_model(node.home, model).packet
        for _ in range(2):
            received(node, packet)
            [came] = read_facts(node.home.journal, ModelReceived)
            assert isinstance(came, ModelReceived)
            assert came.arrays == model
