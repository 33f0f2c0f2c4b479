"""`hospital-node cohort review`: a person looks, decides, and the next ingest obeys."""

import json
from pathlib import Path

import pytest

from hospital_node.cli import app
from hospital_node.config import NodeHome
from schemas.audit.events import ImageReviewed
from schemas.audit.lines import read_events
from schemas.command_line import run
from tests.hospital_node.cli.test_cohort import CONTRACT
from tests.hospital_node.cohort.exports import image, write, write_export

REVIEWER = ("--approver", "A. Steward, data protection")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    export = write_export(tmp_path / "export")
    for number in (0, 1):
        write(
            image(number, patient="P000", BurnedInAnnotation="YES"),
            export / "dicom" / "P000" / f"{number}.dcm",
        )
    (tmp_path / "small.contract.toml").write_text(CONTRACT, encoding="utf-8")
    assert run(app, ["init", "--home", str(tmp_path / "home"), "--site", "northgate"]) == 0
    return tmp_path / "home"


def ingest(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    words = ["--contract", home.parent / "small.contract.toml"]
    words += ["--source", home.parent / "export" / "dicom", "--json"]
    command = ["cohort", "ingest", "--home", home, *words]
    assert run(app, [str(one) for one in command]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {name: told[name] for name in ("used", "quarantined", "refused")}


def review(home: Path, *words: str) -> int:
    return run(app, ["cohort", "review", "--home", str(home), *words])


def files(home: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert review(home, "--json") == 0
    return [one["file"] for one in json.loads(capsys.readouterr().out)["waiting"]]


def test_a_decision_is_obeyed_and_stands_in_the_journal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(home, capsys) == {"used": 22, "quarantined": 2, "refused": 0}
    first, second = files(home, capsys)
    page = home / "review.html"
    assert page.stat().st_mode & 0o077 == 0
    assert page.read_text().count("data:image/png;base64,") == 2
    assert {one in page.read_text() for one in (first, second)} == {True}
    assert "P000" not in page.read_text()

    assert review(home, "--decide", "use", "--file", first, *REVIEWER) == 0
    assert page.read_text().count("data:image/png;base64,") == 1
    assert review(home, "--decide", "refuse", "--file", second, *REVIEWER) == 0
    assert not page.exists(), "nothing waits, nothing is shown"
    assert ingest(home, capsys) == {"used": 23, "quarantined": 0, "refused": 1}

    events = list(read_events(NodeHome(home).journal))
    reviewed = [one for one in events if isinstance(one.facts, ImageReviewed)]
    assert [one.facts.verdict for one in reviewed if isinstance(one.facts, ImageReviewed)] == [
        "use",
        "refuse",
    ]
    assert all(one.private is not None for one in reviewed)
    public = (NodeHome(home).journal / "events.jsonl").read_text()
    assert first not in public
    assert second not in public


@pytest.mark.parametrize(
    "words",
    [
        ("--decide", "use"),
        ("--file", "a" * 32),
        ("--decide", "use", "--file", "../../keys", *REVIEWER),
        ("--decide", "use", "--file", "a" * 32, *REVIEWER),
        ("--decide", "use", "--file", "a" * 32, "--approver", " "),
    ],
)
def test_half_a_decision_is_none(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    ingest(home, capsys)
    assert review(home, *words) == 2
    assert "refused: " in capsys.readouterr().err
    assert len(files(home, capsys)) == 2


def test_without_quarantine_nothing_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ["init", "--home", str(tmp_path / "home"), "--site", "northgate"]) == 0
    assert review(tmp_path / "home") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no image waits"
    assert not (tmp_path / "home" / "review.html").exists()
