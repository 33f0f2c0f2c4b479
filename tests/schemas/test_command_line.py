"""How a command ends: what it prints where, and its exit status."""

import json

import pytest
import typer

from schemas import errors
from schemas.command_line import run, say_json
from schemas.privacy import Spend

app = typer.Typer(rich_markup_mode=None)


@app.command()
def succeed(count: int = 1) -> None:
    """Print an object."""
    say_json({"count": count, "a": "\u00e9"})


@app.command()
def refuse(kind: str) -> None:
    """Refuse with an error of this tree."""
    message = "cohort refused: found 1 patient, at least 2 are needed"
    raise getattr(errors, kind)(message, next_step="ingest more")


@app.command()
def record(epsilon: float) -> None:
    """Make a record of what was typed."""
    Spend(delta=1e-4, rdp=epsilon, pld=0.0)


@app.command()
def interrupt() -> None:
    """Press Control-C."""
    raise KeyboardInterrupt


@app.command()
def find_faults() -> None:
    """End as a verification does that found faults."""
    raise typer.Exit(1)


def test_a_result_is_one_line_of_json_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(app, ["succeed", "--count", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.out == '{"a": "\\u00e9", "count": 2}\n'
    assert json.loads(printed.out) == {"a": "\u00e9", "count": 2}
    assert printed.err == ""


@pytest.mark.parametrize(
    "kind",
    ["InputRefused", "HomeRefused", "NotConforming", "PlanNotApproved", "QuorumLost",
     "JournalDamaged"],
)  # fmt: skip
def test_a_refusal_is_a_paragraph_and_a_next_step_on_standard_error(
    capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert run(app, ["refuse", kind]) == getattr(errors, kind).exit_status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "cohort refused: found 1 patient, at least 2 are needed\nnext: ingest more\n"
    )


def test_a_wrong_argument_ends_with_2_and_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["succeed", "--count", "many"]) == 2
    assert "--count" in capsys.readouterr().err


def test_a_value_that_no_record_holds_ends_with_2_and_is_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(app, ["record", "--", "-3.25"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("command refused: Spend cannot hold 1 of the values given\nnext: ")
    assert "3.25" not in said


def test_an_interruption_ends_with_130_and_says_what_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(app, ["interrupt"]) == 130
    assert "interrupted: what was saved stands" in capsys.readouterr().err


def test_faults_that_a_verification_found_end_with_1() -> None:
    assert run(app, ["find-faults"]) == 1


def test_an_object_with_a_number_that_json_has_not_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        say_json({"auroc": float("nan")})
