"""A hospital that the plan does not name."""

from pathlib import Path

import pytest

from aggregator.runs import conduct
from schemas.audit.events import RequestSent
from schemas.errors import EnvelopeRefused
from tests.desk import ONE_ROUND, desk
from tests.study import PLAN, Direct, approved, made

TWO = {"sites": PLAN["sites"][:2]}


def test_an_enrolled_hospital_outside_the_plan_is_never_asked(tmp_path: Path) -> None:
    study = made(tmp_path, approve=False, **ONE_ROUND, **TWO)
    for site in ("east", "north"):
        approved(study, site, private=False)
    with study.opened() as embedded:
        seen: list[object] = []
        name = study.started(embedded.federation)
        state = conduct(embedded.federation, name, Direct(embedded.nodes), seen.append)
        assert embedded.federation.roster().member("west") is not None
    asked = {site for one in seen if isinstance(one, RequestSent) for site in one.sites}
    assert asked == {"east", "north"} == {one.site for one in state.sources}


def test_its_node_approves_no_plan_that_does_not_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, approve=False, **TWO)
    approved(study, "west", private=False, expect=2)
    assert "plan refused: it does not name this site" in capsys.readouterr().err


def test_a_request_that_names_others_gets_no_answer(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        packet = one.packet(participants=("north", "west"))
        with pytest.raises(EnvelopeRefused, match="does not name this site"):
            one.answer(packet)
