"""Runs that the machine fails: what is said, what stands, and that they end as the undisturbed."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import deployment.cli
from aggregator.run_state import StateFile
from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation, opened
from hospital_node.config import Membership
from hospital_node.node import opened as opened_node
from schemas.audit.events import Facts, ReplyMissing, RoundMoved
from schemas.command_line import run
from schemas.errors import CheckpointDamaged, IntegrityLost
from tests.study import Direct, Study, made

LARGE: dict[str, Any] = {"network": {"kind": "convolutional", "channels": [32, 64, 128]}}
"""Its arrays' files are larger than any other file of a home."""
LIMIT = 200_000


class PowerCutError(BaseException):
    """Ends the work at once, as far as the code can tell."""


def cut_after(number: int, phase: str) -> Callable[[Facts], None]:
    def cut(facts: Facts) -> None:
        if isinstance(facts, RoundMoved) and (facts.round, facts.target) == (number, phase):
            raise PowerCutError

    return cut


def cut(study: Study, number: int, phase: str) -> str:
    """Start a run, end its process after one edge, and return its name."""
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        with pytest.raises(PowerCutError):
            conduct(embedded.federation, name, Direct(embedded.nodes), cut_after(number, phase))
    return name


def resumed(study: Study, name: str) -> str:
    with study.opened() as embedded:
        state = conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
        return state.accepted.arrays


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file of this process grow beyond the limit; the system refuses the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("phase", ["screened", "combined"])
def test_a_disk_without_room_ends_the_run_and_it_ends_the_same_once_there_is_room(
    tmp_path: Path, phase: str
) -> None:
    study = made(tmp_path, **LARGE)
    undisturbed = study.conducted().accepted.arrays
    name = cut(study, 1, phase)
    with study.opened() as embedded:
        before = StateFile(study.aggregator / "runs" / name / "states.jsonl").last()
        with no_room(), pytest.raises(OSError, match="File too large"):
            conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
        after = StateFile(study.aggregator / "runs" / name / "states.jsonl").last()
        assert before is not None
        assert after is not None
        assert after.accepted.round <= 1
        objects = (study.aggregator / "checkpoints" / "objects").iterdir()
        assert not [one for one in objects if one.name.startswith(".writing-")]
    assert resumed(study, name) == undisturbed


def test_a_command_on_a_full_disk_says_so_and_what_to_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, **LARGE)
    nodes = [word for home in study.nodes.values() for word in ("--node", str(home))]
    words = ["run", str(study.plan), "--aggregator", str(study.aggregator), *nodes]
    with no_room():
        assert run(deployment.cli.app, words) == 3
    said = capsys.readouterr().err
    assert "a file or folder cannot be used (File too large)" in said
    assert "next: check that it exists, that it belongs to you, and that the disk has room" in said


def without_privilege() -> list[str]:
    """Say how to start a program for which a folder's mode counts, also as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root passes over every mode, and setpriv is not here")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def test_a_read_only_folder_ends_the_run_with_a_word_and_it_ends_the_same_once_it_is_not(
    tmp_path: Path,
) -> None:
    study = made(tmp_path)
    undisturbed = study.conducted().accepted.arrays
    name = cut(study, 1, "screened")
    states = StateFile(study.aggregator / "runs" / name / "states.jsonl")
    before = states.last()
    objects = study.aggregator / "checkpoints" / "objects"
    nodes = [word for home in study.nodes.values() for word in ("--node", str(home))]
    start = "import sys; from deployment.cli import main; sys.exit(main())"
    words = ["run", str(study.plan), "--aggregator", str(study.aggregator), "--resume", name]
    objects.chmod(0o500)
    try:
        ended = subprocess.run(  # noqa: S603 - every word is of this test
            [*without_privilege(), sys.executable, "-c", start, *words, *nodes],
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        objects.chmod(0o700)
    assert ended.returncode == 3, ended.stderr
    assert "a file or folder cannot be used (Permission denied)" in ended.stderr
    assert "next: check that it exists, that it belongs to you" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert states.last() == before
    assert resumed(study, name) == undisturbed


def accepted_file(study: Study, name: str) -> Path:
    state = StateFile(study.aggregator / "runs" / name / "states.jsonl").last()
    assert state is not None
    digest = state.accepted.arrays.removeprefix("sha256:")
    return study.aggregator / "checkpoints" / "objects" / f"{digest}.safetensors"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-4]),
    "changed": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f"),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("story", DAMAGES)
def test_a_damaged_checkpoint_is_never_trained_from(tmp_path: Path, story: str) -> None:
    study = made(tmp_path)
    undisturbed = study.conducted().accepted.arrays
    name = cut(study, 1, "accepted")
    path = accepted_file(study, name)
    content = path.read_bytes()
    DAMAGES[story](path)
    with study.opened() as embedded:
        with pytest.raises(CheckpointDamaged, match="checkpoint refused: sha256:") as caught:
            conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
        assert "restore this object from a backup" in caught.value.next_step
    path.write_bytes(content)
    assert resumed(study, name) == undisturbed


def test_a_damaged_registry_is_refused_and_the_run_goes_on_from_its_backup(tmp_path: Path) -> None:
    study = made(tmp_path)
    undisturbed = study.conducted().accepted.arrays
    name = cut(study, 1, "accepted")
    path = study.aggregator / "checkpoints" / "registry.sqlite"
    backup = tmp_path / "registry.backup"
    shutil.copyfile(path, backup)
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(CheckpointDamaged, match="is not a sound registry"), study.opened():
        pass
    shutil.copyfile(backup, path)
    assert resumed(study, name) == undisturbed


def test_a_torn_state_was_never_acted_on_and_another_one_is_damage(tmp_path: Path) -> None:
    study = made(tmp_path)
    undisturbed = study.conducted().accepted.arrays
    name = cut(study, 1, "accepted")
    path = study.aggregator / "runs" / name / "states.jsonl"
    content = path.read_bytes()
    path.write_bytes(content + content.splitlines(keepends=True)[-1][:-40])
    assert resumed(study, name) == undisturbed
    other = cut(study, 1, "accepted")
    path = study.aggregator / "runs" / other / "states.jsonl"
    path.write_bytes(path.read_bytes() + b'{"something":"else"}\n')
    with study.opened() as embedded, pytest.raises(IntegrityLost, match="last saved state"):
        conduct(embedded.federation, other, Direct(embedded.nodes), lambda _: None)


def test_an_edge_that_a_crash_kept_out_of_the_journal_is_written_once(tmp_path: Path) -> None:
    study = made(tmp_path, rounds=1, evaluation={"rounds": [1]})
    name = cut(study, 1, "screened")
    path = study.aggregator / "runs" / name / "states.jsonl"
    state = StateFile(path).last()
    assert state is not None
    back = state.model_copy(update={"phase": "opened", "sources": ()})
    StateFile(path).save(back)  # as if the process had ended before its journal entry
    seen: list[Facts] = []
    with study.opened() as embedded:
        conduct(embedded.federation, name, Direct(embedded.nodes), seen.append)
    moves = [(one.source, one.target) for one in seen if isinstance(one, RoundMoved)]
    assert moves[:2] == [("screened", "opened"), ("opened", "collected")]
    assert moves.count(("screened", "opened")) == 1


def _joins(embedded: EmbeddedFederation, study: Study, stack: list[Any]) -> None:
    """Enrol west and let its node in."""
    manager = opened_node(study.nodes["west"], command="run")
    node = manager.__enter__()
    stack.append(manager)
    embedded.federation.enrol("west", node.key.public, node.witness_key.public)
    root, roster = embedded.federation.roster_envelope()
    for one in (*embedded.nodes.values(), node):
        name = embedded.federation.config.federation
        one.join(Membership(federation=name, root=root, roster=roster.decode()))
    embedded.nodes["west"] = node


def test_a_site_joins_between_rounds_and_another_leaves(tmp_path: Path) -> None:
    study = made(tmp_path, rounds=3, evaluation={"rounds": [3]})
    homes = [study.nodes["east"], study.nodes["north"]]
    stack: list[Any] = []
    sources: list[list[str]] = []
    seen: list[Facts] = []
    with opened(study.aggregator, homes) as embedded:
        name = study.started(embedded.federation)
        path = study.aggregator / "runs" / name / "states.jsonl"

        def observe(facts: Facts) -> None:
            seen.append(facts)
            if isinstance(facts, RoundMoved) and facts.target == "provisional":
                state = StateFile(path).last()
                assert state is not None
                sources.append([one.site for one in state.sources])
                if facts.round == 1:
                    _joins(embedded, study, stack)
                else:
                    del embedded.nodes["north"]

        try:
            state = conduct(embedded.federation, name, Direct(embedded.nodes), observe)
        finally:
            for one in stack:
                one.__exit__(None, None, None)
    sources.append([one.site for one in state.sources])
    assert sources == [["east", "north"], ["east", "north", "west"], ["east", "west"]]
    missing = {(one.round, one.site) for one in seen if isinstance(one, ReplyMissing)}
    assert missing == {(1, "west"), (3, "north")}
