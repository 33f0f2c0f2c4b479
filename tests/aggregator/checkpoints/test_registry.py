import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from aggregator.checkpoints.database import engine_of
from aggregator.checkpoints.registry import Registry, Run
from schemas.checkpoint import CheckpointManifest
from schemas.errors import CheckpointDamaged, HomeRefused
from schemas.gate import Outcome
from schemas.names import Digest
from tests.aggregator.examples import DIGEST, MOMENT

RUN = Run("run-1", "study", DIGEST, DIGEST, MOMENT)
VERDICTS: dict[str, Outcome] = {"b": "accepted", "c": "accepted", "d": "rejected"}


def arrays(letter: str) -> Digest:
    return "sha256:" + letter * 64


def manifest(
    number: int, letter: str, parent: str | None, *, run: str = "run-1", created: str = MOMENT
) -> CheckpointManifest:
    return CheckpointManifest(
        arrays=arrays(letter),
        federation="study",
        run=run,
        plan=DIGEST,
        contract=DIGEST,
        round=number,
        parent=None if parent is None else arrays(parent),
        trained_from=None,
        sources=(),
        kind="initial" if parent is None else "candidate",
        created=created,
    )


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A run with its initial model."""
    made = Registry(tmp_path / "registry.sqlite")
    made.open_run(RUN)
    made.insert(manifest(0, "a", None), status="initial")
    return made


def test_what_was_written_is_there_after_reopening(tmp_path: Path, registry: Registry) -> None:
    kept = registry.insert(manifest(1, "b", "a"), status="provisional")
    registry.close()
    with Registry(tmp_path / "registry.sqlite") as again:
        assert again.runs() == (RUN,)
        assert again.run("run-1") == RUN
        assert again.run("run-2") is None
        assert again.checkpoints("run-1")[1] == kept
        assert again.checkpoints("run-2") == ()


def test_a_resumed_round_that_writes_again_changes_nothing(registry: Registry) -> None:
    first = registry.insert(manifest(1, "b", "a"), status="provisional")
    registry.settle("run-1", round=1, arrays=arrays("b"), status="accepted")
    later = manifest(1, "b", "a", created="2026-01-02T00:00:00.000Z")
    again = registry.insert(later, status="provisional")
    assert (again.status, again.manifest) == ("accepted", first.manifest)
    assert registry.open_run(Run("run-1", "study", DIGEST, DIGEST, "later")) == RUN
    assert len(registry.checkpoints("run-1")) == 2


def test_a_run_of_another_plan_cannot_take_a_known_name(registry: Registry) -> None:
    with pytest.raises(ValueError, match="run run-1 is already there, of another plan"):
        registry.open_run(Run("run-1", "study", arrays("9"), DIGEST, MOMENT))


def test_a_status_moves_forward_only(registry: Registry) -> None:
    registry.insert(manifest(1, "b", "a"), status="provisional")
    for _ in range(2):
        found = registry.settle("run-1", round=1, arrays=arrays("b"), status="rejected")
        assert found.status == "rejected"
    with pytest.raises(ValueError, match="round 1 is already rejected, it cannot become accepted"):
        registry.settle("run-1", round=1, arrays=arrays("b"), status="accepted")
    with pytest.raises(ValueError, match="round 0 is already initial"):
        registry.settle("run-1", round=0, arrays=arrays("a"), status="accepted")
    with pytest.raises(ValueError, match="round 7 is not there"):
        registry.settle("run-1", round=7, arrays=arrays("b"), status="accepted")
    assert registry.checkpoints("run-1")[1].status == "rejected"


def test_only_an_initial_manifest_becomes_initial(registry: Registry) -> None:
    with pytest.raises(ValueError, match="a manifest of kind candidate cannot be initial"):
        registry.insert(manifest(1, "b", "a"), status="initial")
    with pytest.raises(ValueError, match="a manifest of kind initial cannot be provisional"):
        registry.insert(manifest(0, "b", None), status="provisional")


def test_a_model_of_an_unknown_run_is_a_mistake(registry: Registry) -> None:
    with pytest.raises(IntegrityError):
        registry.insert(manifest(1, "b", "a", run="run-9"), status="provisional")


def test_the_accepted_model_is_that_of_the_last_accepted_round(registry: Registry) -> None:
    assert registry.accepted("run-1") is None
    for number, (letter, status) in enumerate(VERDICTS.items(), start=1):
        registry.insert(manifest(number, letter, "a"), status="provisional")
        registry.settle("run-1", round=number, arrays=arrays(letter), status=status)
    found = registry.accepted("run-1")
    assert found is not None
    assert found.arrays == arrays("c")


def test_lineage_leads_past_rejected_models_to_the_initial_one(registry: Registry) -> None:
    for number, (letter, parent) in enumerate([("b", "a"), ("c", "b"), ("d", "b")], start=1):
        registry.insert(manifest(number, letter, parent), status="provisional")
    line = registry.lineage(arrays("d"), run="run-1")
    assert [one.arrays[-1] for one in line] == ["d", "b", "a"]
    assert [one.round for one in line] == [3, 1, 0]
    assert line[-1].status == "initial"


def test_lineage_of_a_round_that_changed_nothing_ends_all_the_same(registry: Registry) -> None:
    registry.insert(manifest(1, "a", "a"), status="provisional")
    registry.insert(manifest(2, "a", "a"), status="provisional")
    line = registry.lineage(arrays("a"), run="run-1")
    assert [one.round for one in line] == [2, 1, 0]


def test_runs_do_not_mix_in_a_lineage(registry: Registry) -> None:
    registry.open_run(Run("run-2", "study", DIGEST, DIGEST, MOMENT))
    registry.insert(manifest(0, "a", None, run="run-2"), status="initial")
    registry.insert(manifest(1, "b", "a", run="run-2"), status="provisional")
    assert len(registry.lineage(arrays("b"), run="run-2")) == 2
    with pytest.raises(CheckpointDamaged, match="is not in the registry of run run-1"):
        registry.lineage(arrays("b"), run="run-1")


def test_a_missing_ancestor_is_damage(registry: Registry) -> None:
    registry.insert(manifest(2, "c", "b"), status="provisional")
    with pytest.raises(CheckpointDamaged, match="lineage refused: sha256:bbbbbbbbbbbb…"):
        registry.lineage(arrays("c"), run="run-1")


def test_every_write_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    with engine_of(tmp_path / "registry.sqlite").connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def scramble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 + 8 : 4096 + 200] = os.urandom(192)
    content[100:300] = b"\xff" * 200
    path.write_bytes(bytes(content))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("damage", [overwrite, scramble, truncate])
def test_a_damaged_file_is_refused_and_left_as_it_is(
    tmp_path: Path, registry: Registry, damage: Callable[[Path], None]
) -> None:
    registry.close()
    path = tmp_path / "registry.sqlite"
    damage(path)
    before = path.read_bytes()
    with pytest.raises(CheckpointDamaged, match="is not a sound registry, nothing goes on from it"):
        Registry(path)
    assert path.read_bytes() == before


def test_a_file_that_another_program_holds_is_refused_by_name(
    tmp_path: Path, registry: Registry
) -> None:
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HomeRefused, match=r"cannot be read or written \(database is locked\)"):
            registry.insert(manifest(1, "b", "a"), status="provisional")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeRefused, match="cannot be read or written"):
        Registry(tmp_path)
