"""`aggregator dashboard`: where it answers, to whom, and beside a command that owns the home."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import aggregator.cli
from schemas.command_line import run
from schemas.files import owned
from tests.aggregator.audit import runs
from tests.aggregator.dashboard import homes
from tests.deployed import PATIENCE_S, free_port

_START = "import sys; from aggregator.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("listen", "token", "said"),
    [
        ("nowhere", None, "HOST:PORT is allowed"),
        ("0.0.0.0:8650", None, "off loopback it needs TLS"),
        ("dashboard.example.org:8650", None, "off loopback it needs TLS"),
        ("127.0.0.1:8650", b"short", "at least 16 plain characters"),
        ("127.0.0.1:8650", "Schlüssel".encode() * 4, "at least 16 plain characters"),
    ],
)
def test_what_would_show_it_to_others_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    listen: str,
    token: bytes | None,
    said: str,
) -> None:
    home = homes.made(tmp_path / "home", runs.empty_run())
    words = ["dashboard", "--home", str(home.root), "--listen", listen]
    if token is not None:
        path = tmp_path / "token"
        path.write_bytes(token)
        path.chmod(0o600)
        words += ["--token", str(path)]
    assert run(aggregator.cli.app, words) == 2
    assert said in capsys.readouterr().err


def test_a_token_that_others_can_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = homes.made(tmp_path / "home", runs.empty_run())
    path = tmp_path / "token"
    path.write_text("a-token-that-nobody-guesses")
    path.chmod(0o644)
    words = ["dashboard", "--home", str(home.root), "--token", str(path)]
    assert run(aggregator.cli.app, words) == 3
    assert "only 0600 is allowed" in capsys.readouterr().err


@contextmanager
def dashboard(*words: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run the command; lend the process, its address and its token."""
    process = subprocess.Popen(  # noqa: S603 - this file writes the words
        [sys.executable, "-c", _START, "dashboard", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"Dashboard at (\S+)/  name: any  password: (\S+)\n", line)
        assert found, line
        yield process, found[1], found[2]
    finally:
        process.kill()
        process.communicate()


def test_it_reads_a_home_that_another_command_owns_and_ends_in_order(tmp_path: Path) -> None:
    home = homes.made(tmp_path / "home", runs.private_run())
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    words = ("--home", str(home.root), "--listen", f"127.0.0.1:{free_port()}")
    with dashboard(*words) as (process, address, token):
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, base_url=address, timeout=PATIENCE_S) as client:
            with owned(home.root):
                page = client.get(f"/runs/{runs.RUN}", auth=("anyone", token))
            assert page.status_code == 200
            assert "stratified AUROC" in page.text
            assert client.get("/", auth=("anyone", "wrong")).status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    after = {path: path.read_bytes() for path in before}
    assert after == before
