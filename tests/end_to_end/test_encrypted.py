"""Encrypted rounds over whole studies: what the sum is, who may drop, and what a crash costs."""

from pathlib import Path
from typing import Any

import pytest

from aggregator.runs import conduct
from schemas.audit.events import ExchangeReplied, Facts, SumLost, SumOpened
from schemas.errors import QuorumLost
from schemas.protection.messages import EXCHANGES, Exchange
from tests.deployed import deployed
from tests.encrypted import ENCRYPTED, PowerCutError, Watching, cutting
from tests.masked import FOUR, Dropping, begun, made_of_four
from tests.study import SITES

ORDER = EXCHANGES["encrypted"]
NEAR = 0.51 * 2.0**-20
"""Half a step of the plan, and many times what CKKS itself is off by, 2^-31 of a value."""
QUORUM: dict[str, Any] = {"participation": {"quorum": 3, "deadline_s": 120.0}}
THREE = tuple(site for site in FOUR if site != "south")


def summed(seen: list[Facts]) -> list[SumOpened]:
    return [one for one in seen if isinstance(one, SumOpened)]


@pytest.mark.parametrize("exchange", ["none", "train", *ORDER])
def test_the_opened_mean_is_that_of_the_sites_that_gave(tmp_path: Path, exchange: str) -> None:
    study = made_of_four(tmp_path, **ENCRYPTED)
    with begun(study) as (embedded, name):
        watching = Watching(embedded, study.parsed())
        dropping = Dropping(embedded.nodes, {"south": exchange})
        state = conduct(embedded.federation, name, dropping, watching)
    (opened,) = summed(watching.seen)
    gave = FOUR if exchange in {"none", "settle", "open"} else THREE
    assert tuple(sorted(opened.survivors)) == gave
    assert watching.error(*gave) <= NEAR / (0.8 if gave == THREE else 1.0)
    assert {one.site: one.update for one in state.sources} == opened.survivors
    assert len(opened.openings) == (4 if exchange == "none" else 3)


@pytest.mark.parametrize("exchange", ORDER[:3])
def test_below_the_least_nothing_opens_and_the_next_attempt_may(
    tmp_path: Path, exchange: Exchange
) -> None:
    study = made_of_four(tmp_path, **ENCRYPTED)
    with begun(study) as (embedded, name):
        watching = Watching(embedded, study.parsed())
        dropping = Dropping(embedded.nodes, {"south": exchange, "west": exchange})
        with pytest.raises(QuorumLost, match="round 1 abandoned: 0 usable updates came"):
            conduct(embedded.federation, name, dropping, watching)
        lost = [one for one in watching.seen if isinstance(one, SumLost)]
        assert [(one.exchange, one.left, one.needed) for one in lost] == [(exchange, 2, 3)]
        assert summed(watching.seen) == []
        conduct(embedded.federation, name, Dropping(embedded.nodes), watching)
    (opened,) = summed(watching.seen)
    assert (opened.attempt, tuple(sorted(opened.survivors))) == (2, FOUR)
    assert watching.error(*FOUR) <= NEAR


@pytest.mark.parametrize("exchange", ORDER[3:])
def test_a_round_whose_sites_have_settled_waits_for_them(
    tmp_path: Path, exchange: Exchange
) -> None:
    study = made_of_four(tmp_path, **ENCRYPTED)
    with begun(study) as (embedded, name):
        watching = Watching(embedded, study.parsed())
        dropping = Dropping(embedded.nodes, {"south": exchange, "west": exchange})
        for _ in range(2):
            with pytest.raises(QuorumLost, match="round 1 abandoned: 0 usable updates came"):
                conduct(embedded.federation, name, dropping, watching)
        assert summed(watching.seen) == []
        conduct(embedded.federation, name, Dropping(embedded.nodes), watching)
    (opened,) = summed(watching.seen)
    assert (opened.attempt, tuple(sorted(opened.survivors))) == (1, FOUR)
    assert watching.error(*FOUR) <= NEAR


@pytest.mark.parametrize("exchange", ORDER)
def test_an_aggregator_that_is_killed_in_any_exchange_goes_on(
    tmp_path: Path, exchange: Exchange
) -> None:
    study = made_of_four(tmp_path, **ENCRYPTED)
    killed = cutting(exchange, ExchangeReplied)
    with begun(study) as (embedded, name), pytest.raises(PowerCutError):
        conduct(embedded.federation, name, Dropping(embedded.nodes), killed)
    with study.opened() as embedded:
        seen: list[Facts] = []
        state = conduct(embedded.federation, name, Dropping(embedded.nodes), seen.append)
    (opened,) = summed(seen)
    assert (opened.attempt, tuple(sorted(opened.survivors))) == (1, FOUR)
    assert {one.site: one.update for one in state.sources} == opened.survivors


def test_nodes_that_work_at_the_same_time_over_flowers_apps_open_the_sum(tmp_path: Path) -> None:
    state = made_of_four(tmp_path, **ENCRYPTED).conducted()
    assert tuple(one.site for one in state.sources) == FOUR


def test_separate_processes_over_tls_open_the_sum(tmp_path: Path) -> None:
    sites = [{"site": one, "expected_patients": 12.0} for one in SITES]
    with deployed(tmp_path, **ENCRYPTED | {"rounds": 1, "sites": sites}, **QUORUM) as one:
        one.serve()
        one.nodes()
        one.led()
        (opened,) = summed(one.facts())
    assert tuple(sorted(opened.survivors)) == tuple(sorted(opened.openings)) == SITES
