"""An aggregator that wants one hospital's value out of several sums, or out of a false roster.

Every request is the honest software's; what is hostile is whom it asks, how often, and which keys
it says the hospitals have.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aggregator.config import load_root_key
from aggregator.runs import conduct
from schemas.audit.events import Facts, PlanApproved, Refused, SumGiven, SumOpened
from schemas.enrolment import Roster
from schemas.errors import QuorumLost
from schemas.names import SiteName
from schemas.protection.messages import Advert, Exchange
from schemas.wire.envelope import kind_of, signed
from schemas.wire.keys import SigningKey
from tests.encrypted import ENCRYPTED
from tests.masked import FOUR, MASKED, SUMMED, Dropping, made_of_four
from tests.study import Study, approved
from tests.tapped import Attacked, round_before

THREE = ("east", "north", "west")


def sums_of(study: Study, drops: Mapping[SiteName, str]) -> list[tuple[str, tuple[SiteName, ...]]]:
    """Conduct a run; return the sums that were opened, and of whom."""
    seen = list[Facts]()
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        try:
            conduct(embedded.federation, name, Dropping(embedded.nodes, drops), seen.append)
        except QuorumLost:
            seen = [one for one in seen if isinstance(one, SumOpened)]
    sums = [one for one in seen if isinstance(one, SumOpened)]
    return [(one.purpose, tuple(sorted(one.survivors))) for one in sums]


PLANS: dict[str, dict[str, Any]] = {"masked": MASKED | SUMMED, "encrypted": ENCRYPTED}


@pytest.mark.parametrize("protection", PLANS)
def test_a_second_run_opens_no_sum_that_lacks_a_site_of_the_first(
    tmp_path: Path, protection: str
) -> None:
    study = made_of_four(tmp_path, **PLANS[protection])
    first = sums_of(study, {})
    assert first[0] == ("train", FOUR)
    assert sums_of(study, {"south": "train"}) == []
    with study.opened() as embedded:
        for site in THREE:
            journal = embedded.nodes[site].journal
            refusals = [one for one in journal.events() if isinstance(one.facts, Refused)]
            assert refusals, site
            given = [one.facts for one in journal.events() if isinstance(one.facts, SumGiven)]
            assert {one.sites for one in given} == {FOUR}


def test_a_sum_of_histograms_over_a_model_is_opened_of_one_set_of_sites(tmp_path: Path) -> None:
    study = made_of_four(tmp_path, **MASKED, **SUMMED)
    assert sums_of(study, {}) == [("train", FOUR), ("evaluate", FOUR)]
    # A seeded plan without privacy trains to the same candidate, which is evaluated without south.
    assert sums_of(study, {"south": "evaluate"}) == [("train", FOUR)]


def test_the_same_sites_give_the_same_sum_again_and_others_once_the_plan_is_approved_again(
    tmp_path: Path,
) -> None:
    study = made_of_four(tmp_path, **MASKED)
    assert sums_of(study, {}) == sums_of(study, {}) == [("train", FOUR)]
    assert sums_of(study, {"south": "train"}) == []
    for site in FOUR:
        approved(study, site, private=False)
    assert sums_of(study, {"south": "train"}) == [("train", THREE)]


def renewed(attacked: Attacked, *sites: SiteName) -> str:
    """Sign, with the root key, a roster in which the aggregator speaks for these sites."""
    federation = attacked.embedded.federation
    roster = federation.roster()
    members = [
        one.model_copy(
            update={
                "key": SigningKey.generate().public,
                "witness": SigningKey.generate().public,
            }
        )
        if one.site in sites
        else one
        for one in roster.members
    ]
    fields = dict(roster) | {"members": tuple(members), "serial": roster.serial + 1}
    return signed(Roster.model_validate(fields), load_root_key(federation.home)).decode()


@pytest.mark.parametrize("exchange", ["share", "input", "agree", "unmask"])
def test_a_roster_with_other_keys_of_the_others_changes_no_sum_that_has_begun(
    tmp_path: Path, exchange: Exchange
) -> None:
    with round_before(tmp_path, exchange) as attacked:
        node = attacked.embedded.nodes["east"]
        node.follow(renewed(attacked, "north"))
        attacked.refused("north has another key than in this plan's first sum")


def test_nor_does_it_change_a_fresh_attempt_until_a_person_approves_the_plan_again(
    tmp_path: Path,
) -> None:
    fresh: dict[str, Any] = {
        "exchange": "advertise",
        "attempt": 2,
        "request": "another",
        "body": b"",
    }
    with round_before(tmp_path, "share") as attacked:
        node = attacked.embedded.nodes["east"]
        node.follow(renewed(attacked, "north", "south"))
        attacked.refused("north, south has another key than in this plan's first sum", **fresh)
        plan = attacked.request().plan
        approval = PlanApproved(plan=plan, approver="A. Steward", epsilon_limit=None, delta=1e-4)
        node.journal.append(approval)
        assert kind_of(attacked.asked(**fresh).envelope) == Advert.__name__
