"""What a node says when the aggregator does not let it in."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.hospital_node.test_doctor import served

FAKED = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.mark.skipif(not FAKED, reason="faketime is not here")
@pytest.mark.parametrize(("off", "side"), [("+10m", "ahead of"), ("-10m", "behind")])
def test_a_clock_ten_minutes_off_is_told_by_how_much(tmp_path: Path, off: str, side: str) -> None:
    clock = {"LD_PRELOAD": str(FAKED[0]), "FAKETIME": off, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with served(tmp_path) as one:
        wrong = replace(one, environment=clock)
        wrong.node("north")
        wrong.until_said("north", f"s {side} the aggregator's, at most 5 s are allowed")
        assert "connected" not in wrong.log("north")
        wrong.until_said("north", "set the clock by NTP on both machines")
