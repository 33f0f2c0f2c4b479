"""Plans, crashes and lost files that would make privacy free."""

from pathlib import Path

import pytest

from hospital_node.policy import Limit, set_limit
from schemas.audit.events import RefusalReceived
from schemas.update import EvaluateRequest, Update
from tests.desk import DELTA, desk
from tests.study import conducting, made


def test_a_hospital_at_its_cap_leaves_the_run_and_the_others_go_on(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)
    with conducting(study) as (embedded, conducted, seen):
        set_limit(embedded.nodes["west"].home, Limit(epsilon=1.2, delta=DELTA))
        state = conducted()
        refusals = [
            (one.round, one.site, one.code) for one in seen if isinstance(one, RefusalReceived)
        ]
    assert refusals == [(2, "west", "over-budget")] * 2
    assert [one.site for one in state.sources] == ["east", "north"]


def test_no_sequence_of_runs_passes_the_cap(tmp_path: Path) -> None:
    cap = 2.5
    with desk(tmp_path, private=True) as one:
        set_limit(one.node.home, Limit(epsilon=cap, delta=DELTA))
        for number in range(5):
            run = f"run-{number}"
            one.asked(run=run, request=f"{run}.train")
            one.asked(EvaluateRequest, run=run, request=f"{run}.evaluate")
        assert 0 < one.spent() <= cap
        assert 0 < one.spent("validation") <= cap
        assert one.refused(run="run-9", request="run-9.train") == "over-budget"


def test_work_whose_reply_cannot_be_stored_is_charged_and_does_not_leave(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        one.node.home.replies.write_text("a file where the folder should be")
        with pytest.raises(OSError, match=r"directory|exists"):
            one.answer(one.packet())
        spent = one.spent()
        assert spent > 0
        one.node.home.replies.unlink()
        assert isinstance(one.asked(), Update)
        assert one.spent() == spent


def test_a_node_without_its_ledger_trains_nothing(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        one.asked()
        one.node.home.ledger.unlink()
        assert one.refused(round=2) == "unavailable"
        assert not one.node.home.ledger.exists()
