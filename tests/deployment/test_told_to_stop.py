"""Both sides serve until they are told to stop, which is how they end and not a failure."""

import signal
from pathlib import Path

import pytest

from tests.deployed import PATIENCE_S
from tests.hospital_node.test_doctor import served


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_side_that_is_told_to_stop_ends_with_0_and_says_nothing_of_a_failure(
    tmp_path: Path, told: signal.Signals
) -> None:
    with served(tmp_path) as one:
        one.node("north")
        one.until_said("north", "connected")
        for name in ("north", "serve"):
            one.processes[name].send_signal(told)
            assert one.processes[name].wait(PATIENCE_S) == 0, one.log(name)
            assert "interrupted" not in one.log(name)
            assert "Traceback" not in one.log(name)
        assert sorted(one.log("serve").splitlines()) == [
            "INFO: the roster was read",
            f"Serving t at 127.0.0.1:{one.port}",
        ]


def test_a_node_that_cannot_reach_its_aggregator_stops_too(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        one.kill("serve")
        one.node("north")
        one.until_said("north", "asked again")
        one.processes["north"].send_signal(signal.SIGTERM)
        assert one.processes["north"].wait(PATIENCE_S) == 0, one.log("north")
