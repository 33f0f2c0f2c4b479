"""Real processes whose hospitals lend their machines within limits, from folders with blanks."""

from pathlib import Path

from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import RefusalReceived, ReplyReceived
from tests.deployed import deployed
from tests.end_to_end.test_faults import THREE_ROUNDS
from tests.hospital_node.test_work_limits import closed_now
from tests.study import command


def test_a_site_out_of_its_hours_is_left_out_and_one_within_its_limits_takes_part(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "a study of three"
    folder.mkdir()
    with deployed(folder, **THREE_ROUNDS) as one:
        limits = {"west": ("--hours", closed_now()), "north": ("--threads", 1, "--memory-gib", 8)}
        for site, words in limits.items():
            home = one.study.nodes[site]
            command("policy", "work", "--home", home, "--approver", "A. Steward", *words)
        one.serve()
        one.nodes()
        one.led()
        facts = one.facts()
        refused = {(one.site, one.code) for one in facts if isinstance(one, RefusalReceived)}
        assert refused == {("west", "not-now")}
        assert {one.site for one in facts if isinstance(one, ReplyReceived)} == {"east", "north"}
        with Ledger(one.study.nodes["west"] / "ledger.sqlite") as ledger:
            assert list(ledger.entries()) == []
        logs = "\n".join(one.log(name) for name in one.processes)
        assert "Traceback" not in logs
