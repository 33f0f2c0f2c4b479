"""Old files in the place of new ones, so that a charge is forgotten."""

import shutil
from pathlib import Path

import pytest

from hospital_node.config import NodeHome
from tests.hospital_node.test_restored_homes import (
    both,
    entries,
    ledger_alone,
    one_round,
    study_of,
    unavailable,
    whole_home,
)


@pytest.mark.parametrize("put_back", [ledger_alone, both, whole_home])
def test_a_hospital_with_an_older_ledger_trains_nothing(tmp_path: Path, put_back: object) -> None:
    assert callable(put_back)
    study = study_of(tmp_path / "study")
    run, _ = one_round(study)
    shutil.copytree(study.nodes["east"], tmp_path / "backup")
    one_round(study, run)
    east = NodeHome(study.nodes["east"])
    put_back(east, NodeHome(tmp_path / "backup"))
    before = entries(east)
    _, seen = one_round(study, run)
    assert unavailable(seen) == {"east"}
    assert entries(east) == before
