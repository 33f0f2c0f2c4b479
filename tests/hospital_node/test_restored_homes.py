"""Homes put back, cut down or copied: a node that is behind its own past trains nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aggregator.runs import conduct
from hospital_node.config import NodeHome
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import Facts, RefusalReceived, RoundMoved
from schemas.audit.lines import read_events
from tests.study import Direct, Study, made


class PowerCutError(Exception):
    """The power went after a round."""


def one_round(study: Study, run: str | None = None) -> tuple[str, list[Facts]]:
    """Open the study, conduct a run's next round, and close everything."""
    seen: list[Facts] = []

    def stop(facts: Facts) -> None:
        seen.append(facts)
        if isinstance(facts, RoundMoved) and facts.target in {"accepted", "provisional"}:
            raise PowerCutError

    with study.opened() as embedded:
        name = run or study.started(embedded.federation)
        with pytest.raises(PowerCutError):
            conduct(embedded.federation, name, Direct(embedded.nodes), stop)
    return name, seen


def study_of(folder: Path) -> Study:
    return made(folder, private=True, rounds=4, evaluation={"rounds": [4], "noise_multiplier": 3.0})


def unavailable(seen: list[Facts]) -> set[str]:
    codes = {one.site: one.code for one in seen if isinstance(one, RefusalReceived)}
    assert set(codes.values()) <= {"unavailable"}
    return set(codes)


def reason(home: NodeHome) -> bytes:
    last = list(read_events(home.journal))[-1]
    refused = [one for one in read_events(home.journal) if one.private is not None]
    assert refused, last
    name = (refused[-1].private or "").removeprefix("sha256:")
    return (home.journal / "private" / name).read_bytes()


def ledger_alone(now: NodeHome, then: NodeHome) -> None:
    shutil.copyfile(then.ledger, now.ledger)


def journal_alone(now: NodeHome, then: NodeHome) -> None:
    shutil.rmtree(now.journal)
    shutil.copytree(then.journal, now.journal)


def both(now: NodeHome, then: NodeHome) -> None:
    ledger_alone(now, then)
    journal_alone(now, then)


def whole_home(now: NodeHome, then: NodeHome) -> None:
    shutil.rmtree(now.root)
    shutil.copytree(then.root, now.root)


STORIES: dict[str, tuple[Callable[[NodeHome, NodeHome], None], bytes]] = {
    "the ledger alone": (ledger_alone, b"the ledger does not"),
    "the journal alone": (journal_alone, b"a journal of fewer than the"),
    "ledger and journal together": (both, b"a journal of fewer than the"),
    "the whole home": (whole_home, b"a journal of fewer than the"),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_hospital_whose_files_were_put_back_trains_nothing(tmp_path: Path, story: str) -> None:
    put_back, found = STORIES[story]
    study = study_of(tmp_path / "study")
    run, _ = one_round(study)
    shutil.copytree(study.nodes["east"], tmp_path / "backup")
    one_round(study, run)
    east = NodeHome(study.nodes["east"])
    put_back(east, NodeHome(tmp_path / "backup"))
    spent = entries(east)
    _, seen = one_round(study, run)
    assert unavailable(seen) == {"east"}
    assert found in reason(east)
    assert entries(east) == spent, "nothing was trained, so nothing was charged"


def entries(home: NodeHome) -> int:
    with Ledger(home.ledger) as ledger:
        return len(ledger.rows())


def test_of_a_home_and_its_copy_only_the_one_that_released_last_goes_on(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study")
    run, _ = one_round(study)
    copy = tmp_path / "copy"
    shutil.copytree(study.nodes["east"], copy)
    one_round(study, run)
    twin = Study(study.folder, study.plan, study.aggregator, study.nodes | {"east": copy})
    for _ in range(3):
        with twin.opened():
            """Every command that owns the copy makes its journal longer."""
    _, seen = one_round(twin, run)
    assert unavailable(seen) == {"east"}
    assert b"another journal than the one whose" in reason(NodeHome(copy))
    _, seen = one_round(study, run)
    assert unavailable(seen) == set()


def test_a_newest_backup_goes_on(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study")
    run, _ = one_round(study)
    shutil.copytree(study.nodes["east"], tmp_path / "backup")
    whole_home(NodeHome(study.nodes["east"]), NodeHome(tmp_path / "backup"))
    _, seen = one_round(study, run)
    assert unavailable(seen) == set()
