"""Whoever starts processes may leave in any way: none of them stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import aggregator.cli
from deployment.demo_processes import free_address
from deployment.processes import Processes, attending
from schemas.command_line import run
from schemas.errors import PeerRefused
from tests.processes import processes_about

PATIENCE_S = 60.0
STARTER = """
import signal
import sys
from pathlib import Path
from deployment.processes import attending
from schemas.command_line import run
import typer
# A shell's background jobs, and what they start, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
app = typer.Typer()
@app.command()
def starter(logs: Path, home: Path):
    with attending(logs, print) as processes:
        processes.start("serve", "aggregator", "serve", "--home", home)
        processes.until(lambda: False, needed=["serve"], within_s=600)
sys.exit(run(app))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "aggregator"
    words = ["init", "--home", str(made), "--name", "t", "--address", free_address()]
    assert run(aggregator.cli.app, words) == 0
    return made


def until(came: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not came():
        assert time.monotonic() < end
        time.sleep(0.05)


def serving(logs: Path) -> Callable[[], bool]:
    """Say whether the relay has started to serve."""
    log = logs / "serve.log"
    return lambda: log.exists() and "Serving" in log.read_text()


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_starter_that_leaves_takes_its_processes_with_it(
    tmp_path: Path, home: Path, way: signal.Signals
) -> None:
    line = [sys.executable, "-c", STARTER, str(tmp_path / "logs"), str(home)]
    starter = subprocess.Popen(line, stderr=subprocess.DEVNULL)  # noqa: S603 - words of this test
    until(serving(tmp_path / "logs"))
    assert len(processes_about(home)) == 2
    starter.send_signal(way)
    assert starter.wait(timeout=PATIENCE_S) != 0
    until(lambda: not processes_about(home))


def test_a_needed_process_that_is_killed_is_named_with_its_last_words(
    tmp_path: Path, home: Path
) -> None:
    with attending(tmp_path, print) as processes:
        started(processes, home, tmp_path).kill()
        words = r"serve ended with status -9; its last words: .*Serving"
        with pytest.raises(PeerRefused, match=words):
            processes.until(lambda: False, needed=["serve"], within_s=PATIENCE_S)
    assert not processes_about(home)


def test_another_one_that_is_killed_is_told_once_and_waiting_goes_on(
    tmp_path: Path, home: Path
) -> None:
    said: list[str] = []
    with attending(tmp_path, said.append) as processes:
        started(processes, home, tmp_path).kill()
        told = lambda: any("the others go on" in one for one in said)  # noqa: E731
        processes.until(told, needed=[], within_s=PATIENCE_S)
        with pytest.raises(PeerRefused, match="did not come within"):
            processes.until(lambda: False, needed=[], within_s=0.3)
    assert sum("the others go on" in one for one in said) == 1


def test_a_process_that_does_not_end_in_order_is_killed(tmp_path: Path, home: Path) -> None:
    said: list[str] = []
    with attending(tmp_path, said.append, grace_s=0.5) as processes:
        os.kill(started(processes, home, tmp_path).pid, signal.SIGSTOP)
    assert not processes_about(home)
    assert any("is killed" in one for one in said)


def started(processes: Processes, home: Path, logs: Path) -> subprocess.Popen[bytes]:
    one = processes.start("serve", "aggregator", "serve", "--home", home)
    until(serving(logs))
    return one
