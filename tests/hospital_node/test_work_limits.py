"""What of its machine a hospital lends: hours of the day, threads and memory."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from hospital_node.config import NodeHome
from hospital_node.policy import load_policy
from hospital_node.work_limits import WorkLimits, set_work_limits
from schemas.audit.events import RefusalReceived, Refused, ReplyReceived, WorkLimited
from schemas.audit.lines import read_events
from schemas.errors import InputRefused, NotNow, QuorumLost
from tests.desk import ONE_ROUND, desk
from tests.study import SITES, command, conducting, made

OTHERS = ("east", "north")


def closed_now() -> str:
    """Return hours of one hour that begin in eleven."""
    begin = datetime.now(UTC) + timedelta(hours=11)
    return f"{begin:%H:%M}-{begin + timedelta(hours=1):%H:%M}"


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("08:00-17:30", ("08:00:00.000", "17:29:59.999"), ("07:59:59.999", "17:30:00.000")),
        ("20:00-06:00", ("20:00:00.000", "00:00:00.000", "05:59:59.999"), ("06:00:00.000",)),
        ("00:00-12:00", ("00:00:00.000",), ("12:00:00.000", "23:59:59.999")),
        ("00:00-00:00", ("00:00:00.000", "12:34:56.789"), ()),
    ],
)
def test_hours_are_from_and_to_and_may_pass_midnight(
    hours: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    limits = WorkLimits(hours=hours)
    for one in inside:
        limits.hold_hours(f"2026-11-20T{one}Z")
    for one in outside:
        with pytest.raises(NotNow, match=rf"works from {hours} \(utc time\) only"):
            limits.hold_hours(f"2026-11-20T{one}Z")


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
def test_local_hours_are_of_the_machines_zone_with_its_summer_time() -> None:
    limits = WorkLimits(hours="20:00-06:00", clock="local")
    assert limits.is_open("2026-07-01T00:00:00.000Z")
    assert not limits.is_open("2026-11-20T00:59:59.999Z")
    assert limits.is_open("2026-11-20T01:00:00.000Z")
    assert WorkLimits(hours="20:00-06:00").is_open("2026-11-20T00:59:59.999Z")


def test_outside_its_hours_a_hospital_is_absent_and_nothing_is_charged(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)
    home = NodeHome(study.nodes["west"])
    set_work_limits(home, WorkLimits(hours=closed_now()))
    with conducting(study) as (embedded, conducted, seen):
        conducted()
        node = embedded.nodes["west"]
        codes = {one.facts.code for one in node.journal.events() if isinstance(one.facts, Refused)}
    assert codes == {"not-now"}
    refusals = {(one.site, one.code) for one in seen if isinstance(one, RefusalReceived)}
    assert refusals == {("west", "not-now")}
    assert {one.site for one in seen if isinstance(one, ReplyReceived)} == set(OTHERS)


def test_a_run_that_all_were_away_from_goes_on_when_they_are_back(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        for site in SITES:
            set_work_limits(NodeHome(study.nodes[site]), WorkLimits(hours=closed_now()))
        with pytest.raises(QuorumLost):
            embedded.conducted(name, observe=lambda _: None)
        for site in SITES:
            set_work_limits(NodeHome(study.nodes[site]), WorkLimits())
        seen = list[object]()
        embedded.conducted(name, observe=seen.append)
    assert {one.site for one in seen if isinstance(one, ReplyReceived)} == set(SITES)


def test_a_reply_that_was_made_leaves_at_any_hour(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        first = one.answer(one.packet())
        set_work_limits(one.node.home, WorkLimits(hours=closed_now()))
        assert one.answer(one.packet()) == first
        assert one.refused(round=2) == "not-now"


def test_torch_works_with_no_more_threads_than_allowed(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        with desk(tmp_path, threads=3) as one:
            set_work_limits(one.node.home, WorkLimits(threads=2))
            assert one.asked().kind == "update"
            assert torch.get_num_threads() == 2
            set_work_limits(one.node.home, WorkLimits(threads=8))
            assert one.asked(round=2).kind == "update"
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


_WORK = """
import sys, torch
from hospital_node.work_limits import WorkLimits, _private_bytes
from schemas.errors import TooMuchMemory
used = _private_bytes() / 2**30
limits = WorkLimits(memory_gib=used + 2)
with limits.within_memory():
    torch.empty(2**28)  # one GiB
for taken in (lambda: torch.empty(2**30), lambda: bytearray(2**32)):
    try:
        with limits.within_memory():
            taken()
    except TooMuchMemory as error:
        print(error.message)
torch.empty(2**30)
"""


def test_work_that_needs_more_memory_is_refused_and_the_process_goes_on() -> None:
    done = subprocess.run(  # noqa: S603 - every word is of this test
        [sys.executable, "-c", _WORK], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for one in lines:
        assert one.startswith("request refused: the work needs more, this hospital allows ")


def test_a_process_that_is_over_the_bound_already_refuses_before_it_charges(tmp_path: Path) -> None:
    ballast = torch.empty(2**28)
    with desk(tmp_path, private=True) as one:
        set_work_limits(one.node.home, WorkLimits(memory_gib=1))
        assert one.refused() == "unavailable"
        assert one.spent() == 0
        set_work_limits(one.node.home, WorkLimits())
        assert one.asked().kind == "update"
    assert len(ballast) == 2**28


def test_a_person_sets_limits_and_takes_them_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, approve=False)
    home = NodeHome(study.nodes["east"])
    words = ("policy", "work", "--home", home.root, "--approver", "A. Steward")
    command(*words, "--hours", "20:00-06:00", "--clock", "local", "--threads", 2)
    command(*words, "--memory-gib", 8)
    expected = WorkLimits(hours="20:00-06:00", clock="local", threads=2, memory_gib=8.0)
    assert load_policy(home).work == expected
    capsys.readouterr()
    command("policy", "show", "--home", home.root, "--json")
    assert json.loads(capsys.readouterr().out)["work"] == expected.model_dump()
    command("policy", "show", "--home", home.root)
    assert "20:00 to 06:00 (local time), 2 threads, 8 GiB" in capsys.readouterr().out
    command(*words, "--hours", "any", "--clock", "utc", "--threads", 0, "--memory-gib", 0)
    assert load_policy(home).work == WorkLimits()
    assert "[work]" not in home.policy.read_text()
    noted = [one for one in read_events(home.journal) if isinstance(one.facts, WorkLimited)]
    assert len(noted) == 3
    assert all(one.private for one in noted)


@pytest.mark.parametrize(
    "given",
    [(), ("--hours", "24:00-06:00"), ("--hours", "8-17"), ("--clock", "mars"), ("--threads", 65)],
)
def test_limits_that_do_not_fit_are_refused(tmp_path: Path, given: tuple[object, ...]) -> None:
    command("init", "--home", tmp_path / "east", "--site", "east")
    words = ("policy", "work", "--home", tmp_path / "east", "--approver", "A. Steward")
    command(*words, *given, expect=InputRefused.exit_status)
