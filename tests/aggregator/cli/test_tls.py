"""`aggregator tls`: what a hospital that trusts an authority is shown, before and after."""

import json
import socket
import ssl
import threading
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import aggregator.cli
from aggregator.config import AggregatorHome
from aggregator.tls import make_tls
from schemas.command_line import run
from schemas.errors import HomeRefused, InputRefused

ADDRESS = "127.0.0.1:8443"
PATIENCE_S = 30.0


@pytest.fixture
def home(tmp_path: Path) -> AggregatorHome:
    made = AggregatorHome(tmp_path / "aggregator")
    typed("init", "--home", made.root, "--name", "t", "--address", ADDRESS)
    return made


def typed(*words: object, expect: int = 0) -> None:
    assert run(aggregator.cli.app, [str(one) for one in words]) == expect


def is_trusted(home: AggregatorHome, authority: bytes) -> bool:
    """Say whether who trusts this authority takes what the home shows for the address."""
    ours, theirs = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(home.tls / "server.pem", home.tls / "server.key")
    client = ssl.create_default_context(cadata=authority.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT

    def shake() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            """The other side did not trust it."""
        finally:
            theirs.close()

    thread = threading.Thread(target=shake)
    thread.start()
    try:
        ours.settimeout(PATIENCE_S)
        with client.wrap_socket(ours, server_hostname="127.0.0.1"):
            return True
    except ssl.SSLCertVerificationError:
        return False
    finally:
        ours.close()
        thread.join(PATIENCE_S)


def another(folder: Path) -> list[object]:
    """Make a certificate of another authority for the address, and name it as options do."""
    make_tls(folder, federation="other", address=ADDRESS)
    files = {"certificate": "server.pem", "key": "server.key", "authority": "authority.pem"}
    return [word for name, file in files.items() for word in (f"--{name}", folder / file)]


def test_a_renewed_certificate_is_trusted_by_who_trusted_the_old_one(
    home: AggregatorHome, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, before = (home.tls / "authority.pem").read_bytes(), home.tls / "server.pem"
    old = before.read_bytes()
    assert is_trusted(home, authority)
    capsys.readouterr()
    typed("tls", "renew", "--home", home.root, "--json")
    until = datetime.fromisoformat(json.loads(capsys.readouterr().out)["until"])
    assert (until - datetime.now(until.tzinfo)).days in range(820, 826)
    assert (home.tls / "authority.pem").read_bytes() == authority
    assert (home.tls / "server.pem").read_bytes() != old
    assert (home.tls / "server.key").stat().st_mode & 0o777 == 0o600
    assert is_trusted(home, authority)


def test_an_installed_certificate_is_trusted_under_its_own_authority_alone(
    home: AggregatorHome, tmp_path: Path
) -> None:
    before = (home.tls / "authority.pem").read_bytes()
    typed("tls", "install", "--home", home.root, *another(tmp_path / "other"))
    after = (home.tls / "authority.pem").read_bytes()
    assert after == (tmp_path / "other" / "authority.pem").read_bytes()
    assert is_trusted(home, after)
    assert not is_trusted(home, before)
    assert (home.tls / "server.key").stat().st_mode & 0o777 == 0o600


def test_what_another_authority_vouches_for_is_not_renewed_here(
    home: AggregatorHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("tls", "install", "--home", home.root, *another(tmp_path / "other"))
    shown = (home.tls / "server.pem").read_bytes()
    typed("tls", "renew", "--home", home.root, expect=HomeRefused.exit_status)
    assert "aggregator tls install" in capsys.readouterr().err
    assert (home.tls / "server.pem").read_bytes() == shown


def _foreign_key(folder: Path) -> None:
    make_tls(folder / "third", federation="third", address=ADDRESS)
    (folder / "third" / "server.key").replace(folder / "server.key")


def _locked_key(folder: Path) -> None:
    key = load_pem_private_key((folder / "server.key").read_bytes(), password=None)
    lock = BestAvailableEncryption(b"secret")
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    (folder / "server.key").write_bytes(content)


REFUSED = {
    "the key of another certificate": (_foreign_key, "the key is not that of"),
    "a key under a passphrase": (_locked_key, "unencrypted key in PEM"),
    "no certificate": (lambda one: (one / "server.pem").write_text("x"), "in PEM are needed"),
    "no authority": (lambda one: (one / "authority.pem").write_text("x"), "in PEM are needed"),
    "no file": (lambda one: (one / "server.pem").unlink(), "cannot be read"),
}


@pytest.mark.parametrize("story", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_replaced(
    home: AggregatorHome, tmp_path: Path, capsys: pytest.CaptureFixture[str], story: str
) -> None:
    damage, words = REFUSED[story]
    options = another(tmp_path / "other")
    damage(tmp_path / "other")
    before = {path.name: path.read_bytes() for path in home.tls.iterdir()}
    typed("tls", "install", "--home", home.root, *options, expect=InputRefused.exit_status)
    assert words in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in home.tls.iterdir()} == before


def test_an_aggregator_that_nobody_calls_has_no_certificate_to_renew(tmp_path: Path) -> None:
    typed("init", "--home", tmp_path / "embedded", "--name", "t")
    typed("tls", "renew", "--home", tmp_path / "embedded", expect=HomeRefused.exit_status)
