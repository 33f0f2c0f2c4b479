"""A home with something else in the place of a file: every check of the doctor goes on and says it.

Nothing else than a file is opened: a pipe would be waited on for good.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hospital_node.cli
from hospital_node.config import NodeHome
from hospital_node.doctor import Check, examined
from schemas.command_line import run
from schemas.errors import HomeRefused, InputRefused
from tests.attacks.test_rotation import enrolled_pair
from tests.deployed import free_port
from tests.study import command

PLACES = {
    "keys/signing": "keys",
    "keys/witness": "keys",
    "keys/transport": "keys",
    "keys/pseudonym": "keys",
    "keys/former": "journal",
    "policy.toml": "policy",
    "ledger.sqlite": "ledger",
    "journal/events.jsonl": "journal",
    "journal/head": "journal",
    "membership.json": "enrolment",
    "admission.json": "enrolment",
}


def _bytes(path: Path) -> None:
    path.write_bytes(b"a\n\xc5\x00" * 300)
    path.chmod(0o600)


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _folder(path: Path) -> None:
    path.mkdir(mode=0o700)


KINDS: dict[str, Callable[[Path], None]] = {"bytes": _bytes, "pipe": _pipe, "folder": _folder}


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return enrolled_pair(tmp_path_factory.mktemp("joined")).node


@pytest.fixture
def home(joined: Path, tmp_path: Path) -> Path:
    return shutil.copytree(joined, tmp_path / "north", symlinks=True)


def spoilt(home: Path, place: str, kind: str) -> None:
    (home / place).unlink(missing_ok=True)
    KINDS[kind](home / place)


def checked(home: Path) -> dict[str, Check]:
    return {one.name: one for one in examined(NodeHome(home))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_every_check_is_made_and_the_fault_says_what_to_do(
    home: Path, place: str, kind: str
) -> None:
    spoilt(home, place, kind)
    found = checked(home)
    assert set(found) >= {"keys", "policy", "ledger", "journal", "disk", "codecs", "enrolment"}
    fault = found[PLACES[place]]
    assert fault.outcome == "fault"
    assert all(one.next_step for one in found.values() if one.outcome != "well")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", ["doctor", "serve", "budget show", "audit verify"])
def test_settings_that_are_no_text_are_refused_by_name(
    home: Path, kind: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt(home, "node.toml", kind)
    capsys.readouterr()
    command(*words.split(), "--home", home, expect=HomeRefused.exit_status)
    said = capsys.readouterr().err
    assert said.startswith("home refused: node.toml is ")
    assert "next: " in said
    if kind == "bytes":
        assert "not text in UTF-8 (line 2)" in said


def test_settings_that_are_no_settings_are_refused_by_name(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (home / "node.toml").open("a") as file:
        file.write("a = [")
    assert run(hospital_node.cli.app, ["budget", "show", "--home", str(home)]) == 3
    said = capsys.readouterr().err
    assert said.startswith("home refused: node.toml cannot be used: ")
    assert "next: mend the named line of node.toml" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_that_is_no_text_is_refused_by_name(
    home: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt(home, "policy.toml", kind)
    words = ("policy", "limit", "--home", home, "--epsilon", 3, "--approver", "A. Steward")
    command(*words, expect=HomeRefused.exit_status)
    assert "home refused: policy.toml is " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "socks5://user:secret@127.0.0.1:9"),
        ("ALL_PROXY", "socks5h://127.0.0.1:9"),
        ("HTTPS_PROXY", "ftp://127.0.0.1:9"),
        ("HTTP_PROXY", "http://127.0.0.1:secret"),
        ("HTTPS_PROXY", "http://[::1"),
    ],
)
def test_a_proxy_that_no_call_can_go_through_is_named_by_its_variable(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    fault = checked(home)["proxy"]
    assert (fault.outcome, bool(fault.next_step)) == ("fault", True)
    assert variable in fault.found
    status = run(hospital_node.cli.app, ["serve", "--home", str(home)])
    said = capsys.readouterr().err
    assert (status, said) == (InputRefused.exit_status, f"{fault.found}\nnext: {fault.next_step}\n")
    assert "secret" not in said


def test_a_proxy_that_is_spoken_to_over_http_is_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{free_port()}")
    found = checked(home)
    assert found["proxy"].outcome == "well"
    assert found["tls"].found == "the proxy takes no connection"


def test_a_home_that_other_accounts_can_look_into_is_a_fault(home: Path) -> None:
    assert checked(home)["home"].outcome == "well"
    home.chmod(0o755)
    found = checked(home)["home"]
    assert (found.outcome, found.next_step) == (
        "fault",
        "chmod 700 north, and ask who could read it",
    )
    assert "has mode 0755, only 0700" in found.found


def test_settings_that_this_account_cannot_read_are_not_taken_for_no_home(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "node.toml").unlink()
    command("doctor", "--home", home, expect=HomeRefused.exit_status)
    assert "has no node.toml\nnext: make one: " in capsys.readouterr().err
    (home / "node.toml").symlink_to("node.toml")  # root may read all but this
    command("doctor", "--home", home, expect=HomeRefused.exit_status)
    assert "node.toml cannot be read (" in capsys.readouterr().err
