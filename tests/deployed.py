"""A federation of real processes on this machine: aggregator and nodes over TLS on loopback.

Homes are made and enrolled by the commands that people type; `serve` and `run` are processes.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aggregator.cli
import hospital_node.cli
from deployment.material import pin
from schemas.audit.events import AuditEvent, Facts
from schemas.command_line import run
from schemas.enrolment import fingerprint_of
from schemas.errors import HomeRefused, NothingAccepted
from schemas.names import digest_of
from schemas.wire.keys import SigningKey
from tests import study
from tests.forked import Forked, forked
from tests.study import PLAN, PRIVATE, SITES, Study, command, write_toml

PATIENCE_S = 60.0
_START = "import sys; from {side}.cli import main; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes] | Forked) -> None:
    """Wait until a process on this machine takes connections."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def aggregate(*words: object, expect: int = 0) -> None:
    """Run an `aggregator` command and hold its exit status."""
    assert run(aggregator.cli.app, [str(one) for one in words]) == expect


def command_of_served(*words: object) -> None:
    """Run a `hospital-node` command on a home whose node serves: it is free soon after its work."""
    end = time.monotonic() + PATIENCE_S
    while (status := run(hospital_node.cli.app, [str(one) for one in words])) != 0:
        assert status == HomeRefused.exit_status
        assert time.monotonic() < end
        time.sleep(0.2)


@dataclass(slots=True)
class Deployed:
    """Homes that are enrolled, and the processes that use them."""

    study: Study
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes] | Forked] = field(default_factory=dict)
    before: Callable[[str], Sequence[str]] = lambda _: ()
    """What stands before a process's command, by its name."""
    after: Callable[[str], Sequence[str]] = lambda _: ()

    def log(self, name: str) -> str:
        return (self.study.folder / f"{name}.log").read_text()

    def start(self, name: str, side: str, *words: object) -> subprocess.Popen[bytes] | Forked:
        """Start a command; one before or around which nothing stands, with its libraries loaded."""
        path, said = self.study.folder / f"{name}.log", [str(one) for one in words]
        path.touch()
        if not (self.before(name) or self.after(name) or self.environment):
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.processes[name] = forked(side, said, path, environment)
            return self.processes[name]
        line = [sys.executable, "-W", "error::ResourceWarning", "-c", _START.format(side=side)]
        with path.open("ab") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - every word is of a test
                [*self.before(name), *line, *said, *self.after(name)],
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
            )
        return self.processes[name]

    def serve(self, *, behind: int | None = None) -> None:
        """Serve at the address that nodes call, or at another port that something forwards to."""
        listen = () if behind is None else ("--listen", f"127.0.0.1:{behind}")
        self.start("serve", "aggregator", "serve", "--home", self.study.aggregator, *listen)
        wait_for_port(behind or self.port, self.processes["serve"])

    def nodes(self) -> None:
        for site in self.study.nodes:
            self.node(site)

    def node(self, site: str) -> None:
        self.start(site, "hospital_node", "serve", "--home", self.study.nodes[site])

    def until_said(self, name: str, words: str) -> None:
        """Wait until a process has said this."""
        end = time.monotonic() + PATIENCE_S
        while words not in self.log(name):
            assert time.monotonic() < end, self.log(name)
            time.sleep(0.05)

    def lead(self, *words: object) -> subprocess.Popen[bytes] | Forked:
        plan, home = self.study.plan, self.study.aggregator
        return self.start("run", "aggregator", "run", plan, "--home", home, "--json", *words)

    def led(self, *words: object) -> dict[str, Any]:
        """Lead a run to its end, whatever its gate says, and return what it printed."""
        status = self.lead(*words).wait(timeout=4 * PATIENCE_S)
        logs = "\n".join(self.log(one) for one in self.processes)
        assert status in {0, NothingAccepted.exit_status}, logs
        [line] = [one for one in self.log("run").splitlines() if one.startswith("{")][-1:]
        found: dict[str, Any] = json.loads(line)
        return found

    def facts(self) -> list[Facts]:
        """Read what stands in the aggregator's journal now, up to its last whole line."""
        path = self.study.aggregator / "journal" / "events.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1]
        return [AuditEvent.from_canonical(line).facts for line in lines]

    def until(self, came: Callable[[Facts], bool]) -> None:
        """Wait until something stands in the aggregator's journal."""
        end = time.monotonic() + 4 * PATIENCE_S
        while not any(came(one) for one in self.facts()):
            assert time.monotonic() < end, "\n".join(self.log(one) for one in self.processes)
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """End a process at once, without a word."""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self) -> None:
        for one in self.processes.values():
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        for one in self.processes.values():
            try:
                one.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


@contextmanager
def deployed(
    folder: Path, *, private: bool = True, epsilon: float = 8.0, **changes: Any
) -> Iterator[Deployed]:
    """Make, enrol and approve three hospitals and their aggregator; end every process after.

    `epsilon` is the cap of each hospital.
    """
    one = made(folder, private=private, **changes)
    for home in one.study.nodes.values():
        words = ("policy", "limit", "--home", home, "--epsilon", epsilon)
        command(*words, "--approver", "A. Steward")
    try:
        yield one
    finally:
        one.stop()


def made(folder: Path, *, private: bool, **changes: Any) -> Deployed:
    port = free_port()
    nodes = {site: folder / site for site in SITES}
    here = Study(folder, folder / "small.plan.toml", folder / "aggregator", nodes)
    shutil.copytree(study.exports(study.SMALL), folder, dirs_exist_ok=True)
    write_toml(here.plan, PLAN | (PRIVATE if private else {}) | changes)
    pin(here.plan)
    address = f"127.0.0.1:{port}"
    aggregate("init", "--home", here.aggregator, "--name", "t", "--address", address)
    root = SigningKey.load(here.aggregator / "keys" / "root").public
    for site in SITES:
        named = ("--aggregator", address, "--fingerprint", fingerprint_of(root))
        command("init", "--home", folder / site, "--site", site, *named)
        study.ingest(here, site)
        enrolled(here, site)
        study.approved(here, site, private=private)
    return Deployed(here, port)


def enrolled(here: Study, site: str) -> None:
    request, answer = here.folder / f"{site}.request", here.folder / f"{site}.admission"
    command("enrol", "request", "--home", here.nodes[site], "--out", request)
    heard = digest_of(request.read_bytes())
    words = ("enrol", "approve", request, "--digest", heard, "--home", here.aggregator)
    aggregate(*words, "--out", answer)
    command("enrol", "install", answer, "--home", here.nodes[site])
