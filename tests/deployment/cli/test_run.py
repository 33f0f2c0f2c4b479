"""`consilium run`: who must be here, what is priced, and how a run is taken up or told to end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import deployment.cli
from aggregator.config import AggregatorHome
from aggregator.rounds import is_over
from aggregator.runs import conduct, run_names, stored
from deployment.cli.run import conducted
from deployment.readiness import forecasts, rounds_done
from schemas.audit.events import Facts, RunClosed, RunOpened
from schemas.audit.lines import read_facts
from schemas.command_line import run
from schemas.errors import InputRefused, NotReleased
from tests.study import Direct, Study, command, made


def words(study: Study, *sites: str) -> list[str]:
    nodes = [word for one in sites for word in ("--node", str(study.nodes[one]))]
    return ["run", str(study.plan), "--aggregator", str(study.aggregator), *nodes]


def consilium(*typed: str) -> int:
    return run(deployment.cli.app, typed)


def openings(study: Study) -> int:
    return len(list(read_facts(AggregatorHome(study.aggregator).journal, RunOpened)))


def named_run(study: Study) -> str:
    with study.opened() as embedded:
        return run_names(embedded.federation)[-1]


class CutError(Exception):
    """The power went."""


def cut_after_first(study: Study) -> str:
    """Conduct a run and cut it when its second round opens."""

    def cut(facts: Facts) -> None:
        if getattr(facts, "target", None) == "opened" and getattr(facts, "round", 0) > 1:
            raise CutError

    with study.opened() as embedded:
        name = study.started(embedded.federation)
        with pytest.raises(CutError):
            conduct(embedded.federation, name, Direct(embedded.nodes), cut)
    return name


def test_a_run_that_has_ended_is_not_opened_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    typed = words(study, "east", "north", "west")
    assert consilium(*typed) == 0
    name = named_run(study)
    before = openings(study)
    capsys.readouterr()
    assert consilium(*typed, "--resume", name) == 2
    assert (
        f"run refused: {name} has ended, in round 2 of 2\nnext: read it" in capsys.readouterr().err
    )
    assert openings(study) == before


def test_a_run_whose_end_was_not_noted_before_a_crash_is_noted_when_taken_up(
    tmp_path: Path,
) -> None:
    study = made(tmp_path)
    with study.opened() as embedded:
        federation = embedded.federation
        name = study.started(federation)

        def cut(_: Facts) -> None:
            if is_over(*stored(federation, name)):
                raise CutError

        with pytest.raises(CutError):
            conduct(federation, name, Direct(embedded.nodes), cut)
        assert not list(read_facts(federation.home.journal, RunClosed))
        conduct(federation, name, Direct(embedded.nodes), lambda _: None)
        assert len(list(read_facts(federation.home.journal, RunClosed))) == 1


def test_a_run_that_a_crash_cut_before_its_model_was_released_is_taken_up_and_delivers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
    typed = words(study, "east", "north", "west")
    assert consilium(*typed, "--resume", name) == 0
    assert "Released; delivered to: east, north, west\n" in capsys.readouterr().out
    assert consilium(*typed, "--resume", name) == InputRefused.exit_status


def test_a_run_whose_model_misses_the_release_says_so_and_has_a_status_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, release={"min_auroc": 1.0})
    typed = words(study, "east", "north", "west")
    capsys.readouterr()
    assert consilium(*typed, "--json") == NotReleased.exit_status
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["accepted_round"], told["released"], told["delivered"]) == (2, False, [])
    assert "model of round 2 not released: " in said.err
    assert consilium(*typed, "--resume", told["run"]) == InputRefused.exit_status


def test_a_run_taken_up_shows_and_prices_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, private=True)
    whole = study.parsed()
    with study.opened() as embedded:
        first = forecasts(embedded.nodes, whole, state=None)["east"]
    name = cut_after_first(study)
    with study.opened() as embedded:
        plan, state = stored(embedded.federation, name)
        assert rounds_done(state) == 1
        left = forecasts(embedded.nodes, plan, state=state)["east"]
        assert [one.round for one in left.rounds] == [2]
        assert left.rounds[-1].train == pytest.approx(first.rounds[-1].train)
        assert left.rounds[-1].validation == pytest.approx(first.rounds[-1].validation)
        capsys.readouterr()
        conducted(embedded, plan, name)
        assert "2/2" in capsys.readouterr().err


def test_a_charge_of_the_round_that_was_cut_is_not_priced_again(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)

    def cut(facts: Facts) -> None:
        if getattr(facts, "target", None) == "collected":
            raise CutError

    with study.opened() as embedded:
        whole = forecasts(embedded.nodes, study.parsed(), state=None)["east"]
        name = study.started(embedded.federation)
        with pytest.raises(CutError):
            conduct(embedded.federation, name, Direct(embedded.nodes), cut)
        plan, state = stored(embedded.federation, name)
        left = forecasts(embedded.nodes, plan, state=state)["east"]
    assert [one.round for one in left.rounds] == [1, 2]
    assert left.before.train > 0
    assert left.rounds[-1].train == pytest.approx(whole.rounds[-1].train)


def test_a_home_that_the_plan_does_not_name_is_refused_and_not_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    command("init", "--home", tmp_path / "south", "--site", "south")
    typed = [*words(study, "east", "north"), "--node", str(tmp_path / "south")]
    assert consilium(*typed) == 2
    said = capsys.readouterr().err
    assert "run refused: the plan does not name south, it names east, north, west" in said
    with study.opened() as embedded:
        assert embedded.federation.roster().member("south") is None


def test_a_missing_site_is_said_with_what_the_quorum_makes_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    assert consilium(*words(study, "east", "north")) == 0
    assert (
        "warning: west of the plan's sites are not here; 2 can train, the quorum is 2, so none "
        "of them may fail"
    ) in capsys.readouterr().err


def test_fewer_sites_than_the_quorum_are_refused_before_anything_is_charged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    with study.opened():
        pass  # all have joined, and two of them do not come
    assert consilium(*words(study, "east")) == 2
    said = capsys.readouterr().err
    assert "run refused: north, west of the plan's sites are not here; 1 would train" in said
    assert openings(study) == 0


def test_a_plan_whose_judged_round_no_cap_lets_it_reach_is_refused_before_it_charges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(
        tmp_path, private=True, rounds=9, evaluation={"rounds": [9], "noise_multiplier": 3.0}
    )
    for site in ("east", "north"):
        limit = ("policy", "limit", "--home", study.nodes[site], "--approver", "A")
        command(*limit, "--epsilon", 2)
    capsys.readouterr()
    assert consilium(*words(study, "east", "north", "west")) == 5
    said = capsys.readouterr().err
    assert "the caps leave 1 sites to train and 3 to evaluate in round 9" in said
    assert openings(study) == 0


def test_a_run_that_is_told_to_end_ends_in_order_and_can_be_taken_up(tmp_path: Path) -> None:
    study = made(tmp_path, rounds=500, evaluation={"rounds": [500]})
    typed = words(study, "east", "north", "west")
    code = "import sys, deployment.cli as c; sys.argv[0] = 'consilium'; c.main()"
    with subprocess.Popen(  # noqa: S603 - this interpreter, over constants
        [sys.executable, "-c", code, *typed],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("Run "):
                break
        running.send_signal(signal.SIGTERM)
        said = running.stderr.read()
        assert running.wait(timeout=60) == 143
    assert "interrupted: what was saved stands" in said
    assert "Traceback" not in said
    with study.opened() as embedded:  # no lock is left
        assert not is_over(*stored(embedded.federation, run_names(embedded.federation)[-1]))
