"""No process calls anybody but the relay, and each tells how it is on loopback.

The kernel is asked which connections every process and its children opened; a name that is looked
up would be one, to port 53. The same watch catches stock Flower, whose telemetry goes to a proxy
that is not there.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deployed import PATIENCE_S, deployed, free_port
from tests.docs.pages import DOCS, rows
from tests.study import SITES
from tests.watching import reached, watch

NAMES = ("serve", *SITES, "run")
PAGE = DOCS / "operations" / "monitoring.md"


@dataclass(frozen=True)
class Seen:
    """What the processes of a run told, and whom they called."""

    relay: int
    """Its port."""
    told: dict[str, str]
    called: dict[str, set[tuple[str, int]]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("watched")
    ports = {name: free_port() for name in NAMES}
    watching = {name: watch(folder / f"{name}.calls") for name in NAMES}
    told = {}
    with deployed(folder, private=False) as one:
        one.before = lambda name: watching[name]
        one.after = lambda name: ("--metrics", f"127.0.0.1:{ports[name]}")
        one.serve()
        one.nodes()
        for site in SITES:
            until(ports[site], "/health", lambda answer: answer.status_code == httpx.codes.OK)
        run = one.lead()
        told["run"] = until(ports["run"], "/metrics", said("consilium_run_round 2.0"))
        assert run.wait(timeout=PATIENCE_S) == 0, one.log("run")
        told["serve"] = until(ports["serve"], "/metrics", said('{site="east"} 1.0'))
        told["east"] = until(ports["east"], "/metrics", said("consilium_relay_reached 1.0"))
        one.kill("serve")
        unwell = until(ports["west"], "/health", lambda answer: not answer.is_success)
        told["west"] = f"{unwell}{read(ports['west'], '/metrics').text}"
        one.stop()
        called = {name: ended(folder / f"{name}.calls") for name in NAMES}
        yield Seen(one.port, told, called)


def read(port: int, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)


def said(words: str) -> Callable[[httpx.Response], bool]:
    return lambda answer: words in answer.text


def until(port: int, path: str, came: Callable[[httpx.Response], bool]) -> str:
    """Ask until an answer is as awaited, and return its text."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = read(port, path)
        except httpx.TransportError:
            """Nothing listens there yet."""
        else:
            if came(answer):
                return answer.text
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(record: Path) -> set[tuple[str, int]]:
    """Read a record that its watcher has written to the end."""
    end = time.monotonic() + PATIENCE_S
    while not record.read_text().rstrip().endswith("+++"):
        assert time.monotonic() < end
        time.sleep(0.05)
    return reached(record)


def test_nodes_call_the_relay_and_nobody_else_calls_anyone(seen: Seen) -> None:
    relay = ("127.0.0.1", seen.relay)
    assert seen.called == {"serve": set(), "run": set(), **{site: {relay} for site in SITES}}


def test_the_watch_catches_the_telemetry_of_stock_flower(tmp_path: Path) -> None:
    record, port = tmp_path / "calls", free_port()
    start = "from flwr.supercore.telemetry import EventType, event; event(EventType.PING).result()"
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "FLWR_TELEMETRY_ENABLED": "1"}
    line = [*watch(record), sys.executable, "-c", start]
    environment = {"HOME": str(tmp_path), **proxy}
    subprocess.run(line, env=environment, check=False, timeout=PATIENCE_S)  # noqa: S603
    assert ("127.0.0.1", port) in ended(record)


def figures(text: str) -> dict[str, float]:
    lines = [one for one in text.splitlines() if one.startswith("consilium_")]
    return {name: float(value) for name, _, value in (one.rpartition(" ") for one in lines)}


def test_each_process_tells_how_it_is(seen: Seen) -> None:
    serve, run, east, west = (figures(seen.told[one]) for one in ("serve", "run", "east", "west"))
    assert serve["consilium_healthy"] == run["consilium_healthy"] == east["consilium_healthy"] == 1
    assert [serve[f'consilium_node_connected{{site="{site}"}}'] for site in SITES] == [1, 1, 1]
    assert serve['consilium_requests_total{status="200"}'] > 0
    assert run["consilium_run_rounds"] == 2
    assert run['consilium_replies_total{outcome="received",site="east"}'] >= 2
    assert east['consilium_messages_answered_total{type="train"}'] == 2
    assert west["consilium_healthy"] == west["consilium_relay_reached"] == 0
    assert seen.told["west"].startswith("the relay does not answer")


def test_every_figure_is_listed_and_no_other_is_told(seen: Seen) -> None:
    told = {name.partition("{")[0] for text in seen.told.values() for name in figures(text)}
    assert told == {cells[0].strip("`") for _, cells in rows(PAGE) if "consilium_" in cells[0]}
