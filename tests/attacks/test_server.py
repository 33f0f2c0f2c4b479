"""A server that shows a certificate of its own making under the aggregator's address."""

from itertools import count
from pathlib import Path

from aggregator.config import AggregatorHome
from aggregator.tls import make_tls
from hospital_node.distrust import PAUSE_S, Distrust
from hospital_node.node import make, opened
from schemas.audit.events import Facts, TurnedAway
from schemas.audit.lines import read_facts
from tests.hospital_node.test_doctor import served


def noted(home: Path) -> list[Facts]:
    return list(read_facts(home / "journal", TurnedAway))


def test_a_server_that_another_authority_vouches_for_hears_nothing_and_is_noted(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as one:
        home = AggregatorHome(one.study.aggregator)
        make_tls(home.tls, federation="t", address=f"127.0.0.1:{one.port}")
        one.kill("serve")
        one.serve()
        one.node("north")
        one.until_said("north", "asked again in 0.8 s: the federation's authority does not vouch")
        assert "connected" not in one.log("north")
    assert not home.door.exists()  # no call came far enough to be turned away
    assert noted(one.study.nodes["north"]) == [
        TurnedAway(what="server", reason="certificate-refused", count=1)
    ]


def test_a_hostile_network_cannot_fill_the_journal(tmp_path: Path) -> None:
    home, seconds = tmp_path / "north", count()
    make(home, site="north")
    distrust = Distrust(home, clock=lambda: float(next(seconds)))
    for _ in range(int(2 * PAUSE_S) + 1):
        distrust.noted()
    assert [one.count for one in noted(home) if isinstance(one, TurnedAway)] == [
        1,
        int(PAUSE_S),
        int(PAUSE_S),
    ]


def test_a_home_that_a_command_owns_is_written_to_later(tmp_path: Path) -> None:
    home = tmp_path / "north"
    make(home, site="north")
    distrust = Distrust(home)
    with opened(home):
        distrust.noted()
    distrust.noted()
    assert noted(home) == [TurnedAway(what="server", reason="certificate-refused", count=2)]
