"""Keys at rest under a passphrase: none is readable without it, and nobody finds it written."""

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hospital_node.cli
from hospital_node.config import NodeHome
from hospital_node.doctor import examined
from schemas.command_line import run
from schemas.errors import HomeRefused, InputRefused
from schemas.wire.key_files import protection, read_key
from schemas.wire.keys import SigningKey
from schemas.wire.passphrase import CREDENTIAL, DESCRIPTOR, FILE
from tests.attacks.test_rotation import Pair, enrolled_pair
from tests.deployed import Deployed
from tests.hospital_node.test_doctor import served
from tests.study import command

PASSPHRASE = "five words of some length"  # noqa: S105 - of a test
KEYS = ("pseudonym", "signing", "transport", "witness")
_MAIN = "import sys; from hospital_node.cli import main; sys.exit(main())"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the passphrase in a private file."""
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    path.chmod(0o600)
    monkeypatch.setenv(FILE, str(path))
    return path


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    command("init", "--home", tmp_path / "north", "--site", "north")
    return NodeHome(tmp_path / "north")


def plain(home: NodeHome) -> dict[str, bytes]:
    return {name: (home.keys / name).read_bytes() for name in KEYS}


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    command(*words, expect=HomeRefused.exit_status)
    return capsys.readouterr().err


def test_no_key_can_be_read_or_used_without_the_passphrase(
    home: NodeHome, given: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plain(home)
    command("keys", "lock", "--home", home.root)
    at_rest = b"".join(one.read_bytes() for one in home.root.rglob("*") if one.is_file())
    for name, content in before.items():
        assert content.strip() not in at_rest
        assert (home.keys / name).stat().st_mode & 0o777 == 0o600
        assert read_key(home.keys / name) == content
    assert PASSPHRASE.encode() not in at_rest
    command("audit", "verify", "--home", home.root)
    words = ("policy", "limit", "--home", home.root, "--epsilon", 4, "--approver", "A")
    given.write_text("another passphrase\n")
    assert "is not the one that this home's keys are under" in refused(capsys, *words)
    monkeypatch.setenv(FILE, str(given.with_name("elsewhere")))
    assert refused(capsys, *words).startswith(f"passphrase refused: {FILE} names no file that is")
    monkeypatch.delenv(FILE)
    told = refused(capsys, *words)
    assert "under a passphrase, and none was given" in told
    assert FILE in told


def test_it_is_taken_away_again_and_changed_by_both(home: NodeHome, given: Path) -> None:
    before = plain(home)
    command("keys", "lock", "--home", home.root)
    command("keys", "unlock", "--home", home.root)
    assert plain(home) == before
    given.write_text("another passphrase\n")
    command("keys", "lock", "--home", home.root)
    assert protection(home.keys) == "whole"
    assert read_key(home.signing_key) == before["signing"]


@pytest.mark.usefixtures("given")
def test_a_crash_while_keys_are_sealed_is_told_and_brought_to_its_end(home: NodeHome) -> None:
    before = plain(home)
    command("keys", "lock", "--home", home.root)
    for name in ("signing", "witness"):
        (home.keys / name).write_bytes(before[name])
    assert {name: read_key(home.keys / name) for name in KEYS} == before
    [check] = [one for one in examined(home) if one.name == "passphrase"]
    assert (check.outcome, check.next_step) == (
        "fault",
        "finish what was begun: hospital-node keys lock",
    )
    command("keys", "lock", "--home", home.root)
    assert protection(home.keys) == "whole"
    [check] = [one for one in examined(home) if one.name == "passphrase"]
    assert check.outcome == "well"


@pytest.mark.usefixtures("given")
def test_a_sealed_key_that_was_changed_or_renamed_is_refused(home: NodeHome) -> None:
    command("keys", "lock", "--home", home.root)
    whole = home.signing_key.read_bytes()
    others = (
        whole[:-1] + bytes([whole[-1] ^ 1]),
        home.witness_key.read_bytes(),
        whole[:30],
    )
    for content in others:
        home.signing_key.write_bytes(content)
        with pytest.raises(HomeRefused, match="signing was damaged, or is of another home"):
            SigningKey.load(home.signing_key)
    home.signing_key.write_bytes(whole)
    (home.keys / "lock").unlink()
    with pytest.raises(HomeRefused, match="signing is sealed, and its folder has no lock"):
        SigningKey.load(home.signing_key)


@pytest.mark.usefixtures("given")
def test_keys_can_be_made_under_a_passphrase_from_the_first_byte_on(tmp_path: Path) -> None:
    command("init", "--home", tmp_path / "north", "--site", "north", "--lock")
    home = NodeHome(tmp_path / "north")
    assert protection(home.keys) == "whole"
    assert not [one for one in examined(home) if one.name == "keys" and one.outcome != "well"]


@pytest.mark.usefixtures("given")
def test_replaced_keys_are_under_the_passphrase_too(tmp_path: Path) -> None:
    pair: Pair = enrolled_pair(tmp_path)
    home = NodeHome(pair.node)
    command("keys", "lock", "--home", home.root)
    old = pair.key()
    request = pair.request()
    assert protection(home.keys) == "whole"
    assert {one.name for one in home.next_keys.iterdir()} == {"signing", "transport", "witness"}
    command("enrol", "install", pair.approved(request), "--home", home.root)
    assert pair.key() != old
    assert protection(home.keys) == "whole"
    command("audit", "verify", "--home", home.root)


def test_a_file_that_others_can_read_and_a_short_passphrase_are_refused(
    home: NodeHome, given: Path
) -> None:
    given.chmod(0o640)
    command("keys", "lock", "--home", home.root, expect=HomeRefused.exit_status)
    given.chmod(0o600)
    given.write_text("eleven char")
    command("keys", "lock", "--home", home.root, expect=InputRefused.exit_status)
    assert protection(home.keys) == "none"


def test_it_is_read_from_a_descriptor(home: NodeHome, given: Path, tmp_path: Path) -> None:
    command("keys", "lock", "--home", home.root)
    line = [sys.executable, "-c", _MAIN, "keys", "unlock", "--home", str(home.root), "--json"]
    with given.open("rb") as file:
        number = file.fileno()
        places = {name: one for name, one in os.environ.items() if name != FILE}
        done = subprocess.run(  # noqa: S603 - every word is of this test
            line,
            env={**places, DESCRIPTOR: str(number)},
            pass_fds=[number],
            capture_output=True,
            check=True,
            timeout=60,
            cwd=tmp_path,
        )
    assert json.loads(done.stdout) == {"protection": "none"}
    assert PASSPHRASE.encode() not in done.stdout + done.stderr


def test_a_person_types_it_at_a_terminal_and_it_is_not_shown(home: NodeHome) -> None:
    line = [sys.executable, "-c", _MAIN, "keys", "lock", "--home", str(home.root)]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, line)  # noqa: S606 - every word is of this test
    told = b""
    for prompt in (b"New passphrase", b"The same again", b"were put under"):
        while prompt not in told:
            assert select.select([terminal], [], [], 60)[0], told
            told += os.read(terminal, 1024)
        if prompt != b"were put under":
            os.write(terminal, f"{PASSPHRASE}\n".encode())
    os.waitpid(process, 0)
    os.close(terminal)
    assert PASSPHRASE.encode() not in told
    assert protection(home.keys) == "whole"


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[Deployed]:
    with served(tmp_path) as one:
        yield one


def test_a_node_serves_under_a_credential_of_systemd_and_refuses_without(
    joined: Deployed, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = joined.study.nodes["north"]
    command("keys", "lock", "--home", node)
    monkeypatch.delenv(FILE)
    assert run(hospital_node.cli.app, ["serve", "--home", str(node)]) == HomeRefused.exit_status
    folder = given.parent / "credentials"
    folder.mkdir()
    given.rename(folder / CREDENTIAL)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    joined.node("north")
    joined.until_said("north", "INFO: connected")
    assert PASSPHRASE not in joined.log("north")
