"""A masked round over TLS between processes, one of which is killed between two exchanges."""

from pathlib import Path

from schemas.audit.events import ExchangeAsked, RunOpened, SumOpened
from tests.deployed import deployed
from tests.masked import MASKED
from tests.study import SITES


def test_a_masked_run_whose_leader_is_killed_between_exchanges_ends(tmp_path: Path) -> None:
    plan = {
        "rounds": 1,
        "participation": {"quorum": 3, "deadline_s": 60.0},
        "evaluation": {"rounds": [1], "bins": 10, "protection": "masked"},
    }
    with deployed(tmp_path, private=False, **(MASKED | plan)) as one:
        one.serve()
        one.nodes()
        one.lead()
        one.until(lambda facts: isinstance(facts, ExchangeAsked) and facts.exchange == "input")
        one.kill("run")
        (run,) = {facts.run for facts in one.facts() if isinstance(facts, RunOpened)}
        one.led("--resume", run)
        sums = {
            (facts.purpose, facts.attempt): set(facts.survivors)
            for facts in one.facts()
            if isinstance(facts, SumOpened)
        }
    assert sums == {("train", 1): set(SITES), ("evaluate", 1): set(SITES)}
