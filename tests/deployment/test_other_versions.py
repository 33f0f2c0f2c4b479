"""Records of another version of this software are told from damage, with the version by name."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import aggregator.cli
import deployment.cli
from schemas.command_line import run
from schemas.errors import InvalidRecord, OtherVersion
from schemas.plan import TrainingPlan
from tests.schemas.written import PLAIN_PLAN
from tests.study import Study, made


def with_field(path: Path) -> None:
    """Write a JSON record as a version with one more field would, in canonical form."""
    fields = json.loads(path.read_bytes()) | {"a_new_field": 1}
    path.write_bytes(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def without_field(path: Path) -> None:
    fields = json.loads(path.read_bytes())
    fields.pop("title")
    path.write_bytes(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def last_line(path: Path) -> None:
    whole, _, line = path.read_bytes().removesuffix(b"\n").rpartition(b"\n")
    fields = json.loads(line) | {"a_new_field": 1}
    written = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(whole + b"\n" + written + b"\n")


STORED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a plan with a field more": ("plan.json", with_field, "the run's plan"),
    "a plan with a field less": ("plan.json", without_field, "the run's plan"),
    "a contract": ("contract.json", with_field, "the run's contract"),
    "a state": ("states.jsonl", last_line, "the run's last saved state"),
}


@pytest.mark.parametrize("story", STORED)
def test_a_run_of_another_version_names_it_and_asks_for_no_backup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], story: str
) -> None:
    name, change, what = STORED[story]
    study = made(tmp_path)
    with study.opened() as embedded:
        study.started(embedded.federation)
    [path] = (study.aggregator / "runs").glob(f"*/{name}")
    change(path)
    capsys.readouterr()
    assert run(aggregator.cli.app, ["audit", "report", "--home", str(study.aggregator)]) == 7
    said = capsys.readouterr().err
    assert said.startswith(f"{what} refused: another version of this software wrote it, with ")
    assert "this home was used with 0." in said
    assert "no backup is needed" in said


def test_a_damaged_plan_is_not_taken_for_another_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    with study.opened() as embedded:
        study.started(embedded.federation)
    [path] = (study.aggregator / "runs").glob("*/plan.json")
    path.write_bytes(path.read_bytes()[:-9])
    capsys.readouterr()
    assert run(aggregator.cli.app, ["audit", "report", "--home", str(study.aggregator)]) == 7
    said = capsys.readouterr().err
    assert "the run's plan refused: its bytes are not what was written" in said
    assert "from a backup" in said


def test_a_ledger_row_of_another_version_leaves_the_home_out_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, private=True)
    study.conducted()
    ledger = study.nodes["east"] / "ledger.sqlite"
    with sqlite3.connect(ledger) as connection:
        connection.execute("DROP TRIGGER rows_keep")
        connection.execute("UPDATE rows SET entry = json_set(entry, '$.a_new_field', 1)")
    connection.close()
    capsys.readouterr()
    assert consilium_with(study) == 7
    said = capsys.readouterr().err
    assert "ledger refused: another version of this software wrote it" in said


def consilium_with(study: Study) -> int:
    nodes = [word for home in study.nodes.values() for word in ("--node", str(home))]
    typed = ["run", str(study.plan), "--aggregator", str(study.aggregator), *nodes]
    return run(deployment.cli.app, typed)


def test_a_persons_plan_with_an_unknown_field_is_still_theirs_to_mend() -> None:
    with pytest.raises(InvalidRecord, match="a_new_field: Extra inputs"):
        TrainingPlan.from_toml("a_new_field = 1\n" + PLAIN_PLAN)


def test_another_version_is_no_damage() -> None:
    assert not issubclass(OtherVersion, InvalidRecord)
    assert OtherVersion("x").exit_status == 7
