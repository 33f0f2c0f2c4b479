"""`aggregator serve`: where it listens, and what it says where it cannot."""

import socket
from pathlib import Path

import httpx
import pytest

import aggregator.cli
from schemas.command_line import run
from schemas.errors import HomeRefused, InputRefused
from tests.deployed import PATIENCE_S, Deployed, free_port
from tests.study import Study


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("served") / "aggregator"
    words = ["--home", str(found), "--name", "t", "--address", f"127.0.0.1:{free_port()}"]
    assert run(aggregator.cli.app, ["init", *words]) == 0
    return found


@pytest.mark.parametrize(
    "listen",
    [
        "127.0.0.1:abc",
        "nonsense",
        "127.0.0.1:99999999",
        "127.0.0.1:-1",
        "127.0.0.1:0",
        ":8443",
        "::1:8443",
        "[::1:8443",
        "[::1]:0",
        "[::1]:70000",
        "[127.0.0.1]:8443",
        "[localhost]:8443",
    ],
)
@pytest.mark.parametrize("command", ["serve", "dashboard"])
def test_what_is_no_address_is_refused_with_what_is_allowed(
    home: Path, capsys: pytest.CaptureFixture[str], command: str, listen: str
) -> None:
    words = [command, "--home", str(home), "--listen", listen]
    assert run(aggregator.cli.app, words) == InputRefused.exit_status
    assert capsys.readouterr().err == (
        f"listening refused: {listen!r} found, HOST:PORT is allowed, with a host name, an IPv4 "
        "address or an [IPv6 address], and a port from 1 to 65535\n"
        "next: for example: --listen 0.0.0.0:8443\n"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"])
def test_nothing_is_said_to_be_served_where_nothing_can_listen(
    home: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"{host}:{other.getsockname()[1]}"
        words = ["serve", "--home", str(home), "--listen", listen]
        assert run(aggregator.cli.app, words) == HomeRefused.exit_status
    said = capsys.readouterr().err
    assert "Serving" not in said
    assert f"serving refused: nothing can listen at {listen} (" in said
    assert "next: choose another address or port, or end what listens there\n" in said


def test_it_serves_at_an_ipv6_address(home: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as one:
        try:
            one.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        port = one.getsockname()[1]
    served = Deployed(Study(tmp_path, tmp_path / "plan", home, {}), port)
    try:
        served.start("serve", "aggregator", "serve", "--home", home, "--listen", f"[::1]:{port}")
        served.until_said("serve", f"Serving t at [::1]:{port}")
        with httpx.Client(verify=False, timeout=PATIENCE_S) as client:  # noqa: S501 - its own authority
            answer = client.post(f"https://[::1]:{port}/v1/fleet/pull-messages")
        assert answer.status_code == 415
    finally:
        served.stop()
