"""The reviewer's walk, typed command by command over a small finished run."""

import json
from pathlib import Path

import pytest
import typer

import aggregator.cli
import deployment.cli
from schemas.audit.events import SignedOff
from schemas.audit.lines import read_facts
from schemas.audit.notes import vkey
from schemas.command_line import run
from schemas.names import digest_of
from schemas.wire.keys import SigningKey
from tests.docs.pages import DOCS, commands
from tests.study import made

APPS: dict[str, typer.Typer] = {
    "aggregator": aggregator.cli.app,
    "consilium": deployment.cli.app,
}
EXAMPLE = "run-20261120-101500-3f9a"


def test_the_walk_leads_from_a_bundle_to_a_sign_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study = made(tmp_path, private=True)
    study.conducted()
    home = tmp_path / "federation"
    study.aggregator.rename(home)
    name = max(path.parent.name for path in home.glob("runs/*/plan.json"))
    walk = commands(DOCS / "audit.md")
    assert [words[:2] for words in walk][:2] == [["consilium", "bundle"], ["consilium", "verify"]]
    for words in walk:
        status = run(APPS[words[0]], [word.replace(EXAMPLE, name) for word in words[1:]])
        assert status == 0, (words, capsys.readouterr().err)
    [signed] = read_facts(home / "journal", SignedOff)
    content = (tmp_path / "bundle.zip").read_bytes()
    assert signed == SignedOff(
        run=name,
        bundle=digest_of(content),
        name="R. Reviewer",
        meaning="approved",
    )
    shown = capsys.readouterr().out
    (check,) = (one for one in shown.splitlines() if "consilium verify event-5.proof" in one)
    words = check.partition(": ")[2].split()[1:]
    assert words[3] in shown.split("log and key: ")[1]
    assert_only_its_own_log_proves_an_event(words, home, capsys)
    capsys.readouterr()
    assert run(deployment.cli.app, ["verify", "bundle.zip", "--json"]) == 0
    Path("own.policy").write_text(json.loads(capsys.readouterr().out)["policy"])
    assert run(deployment.cli.app, ["verify", "bundle.zip", "--policy", "own.policy"]) == 0
    capsys.readouterr()
    later = ["bundle", name, "--home", "federation", "--out", "later.zip", "--json"]
    assert run(deployment.cli.app, later) == 0
    assert json.loads(capsys.readouterr().out)["size_bytes"] > len(content)
    assert run(deployment.cli.app, [*later[:-2], "bundle.zip"]) == 2
    assert Path("bundle.zip").read_bytes() == content  # nor is any file written over
    changed = bytearray(content)
    changed[content.index(b'"sequence":4,')] ^= 1
    Path("changed.zip").write_bytes(changed)
    assert run(deployment.cli.app, ["verify", "changed.zip", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "refuted"
    assert {"log", "index", "found", "meaning"} == set(told["faults"][0])
    sign = ["audit", "sign-off", name, "--home", "federation", "--name", "R", "--meaning"]
    assert run(aggregator.cli.app, [*sign, "approved", "--bundle", "changed.zip"]) == 7
    assert run(aggregator.cli.app, [*sign, "rejected", "--bundle", "changed.zip"]) == 0
    Path("changed.zip").write_bytes(b"PK")
    assert run(deployment.cli.app, ["verify", "changed.zip"]) == 2


def assert_only_its_own_log_proves_an_event(
    check: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = Path("event-5.proof").read_text()
    assert run(deployment.cli.app, [*check, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["index"], told["event"]["sequence"]) == ("verified", 5, 5)
    Path("log.policy").write_text(f"log {check[3]}\nquorum none\n")
    assert run(deployment.cli.app, ["verify", check[1], "--policy", "log.policy"]) == 0
    assert run(deployment.cli.app, ["verify", check[1]]) == 2
    assert "no key of the log t/aggregator was given" in capsys.readouterr().err
    assert run(deployment.cli.app, ["verify", check[1], "--key", "nonsense"]) == 2
    again = ["prove", "6", "--home", str(home), "--out", check[1]]
    assert run(deployment.cli.app, again) == 2
    assert Path(check[1]).read_text() == proof
    stranger = vkey("t/aggregator", SigningKey.generate().public)
    assert run(deployment.cli.app, ["verify", check[1], "--key", stranger]) == 1
    Path("other.proof").write_text(proof.replace("index 5", "index 4"))
    assert run(deployment.cli.app, ["verify", "other.proof", *check[2:]]) == 1
    assert "REFUTED" in capsys.readouterr().out
