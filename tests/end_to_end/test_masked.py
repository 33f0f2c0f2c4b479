"""Masked rounds over whole studies: what the sum is, who may drop, and what a crash costs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator.audit.reading import reading
from aggregator.audit.visibility import visibility
from aggregator.runs import conduct
from hospital_node.audit.account import sent
from schemas.audit.events import (
    ExchangeAsked,
    ExchangeReplied,
    Facts,
    ReplyReceived,
    Reserved,
    SumLost,
    SumOpened,
)
from schemas.errors import QuorumLost
from schemas.protection.messages import EXCHANGES, Exchange
from schemas.update import Histogram
from tests.masked import FOUR, MASKED, SUMMED, Dropping, accepted, begun, made_of_four, model_of
from tests.study import PRIVATE

STEP = 2.0**-24
STEPS = {
    "kind": "steps",
    "steps": 2,
    "batch_images": 8,
    "optimizer": {"kind": "sgd", "learning_rate": 0.1},
}


def summed(seen: list[Facts]) -> list[SumOpened]:
    return [one for one in seen if isinstance(one, SumOpened)]


def bound(plain: "np.ndarray[Any, Any]", *, of_weight: float = 1.0) -> float:
    """Return how far a masked round may end from the open one.

    Half a step from each of four sites, over the survivors' weight; and float32's last digit, once
    for the mean and once for the model, on either side.
    """
    digits = 2 * float(np.spacing(np.float32(np.abs(plain).max())))
    return 4 / 2 * STEP / of_weight + digits


def test_a_masked_run_is_the_open_one_to_the_step_of_fixed_point(tmp_path: Path) -> None:
    masked = model_of(made_of_four(tmp_path / "masked", **MASKED))
    plain = model_of(made_of_four(tmp_path / "open"))
    assert np.abs(masked - plain).max() <= bound(plain)
    assert np.abs(masked - plain).max() > 0


@pytest.mark.parametrize("exchange", ["train", *EXCHANGES["masked"]])
def test_a_site_may_drop_in_any_exchange(tmp_path: Path, exchange: str) -> None:
    seen: list[Facts] = []
    drops = {"south": exchange}
    masked = model_of(made_of_four(tmp_path / "masked", **MASKED), drops, seen.append)
    is_in = exchange in {"agree", "unmask"}
    plain = model_of(made_of_four(tmp_path / "open"), {} if is_in else {"south": "train"})
    assert np.abs(masked - plain).max() <= bound(plain, of_weight=1.0 if is_in else 4 / 5)
    (opened,) = summed(seen)
    assert set(opened.survivors) == set(FOUR) - (set() if is_in else {"south"})


@pytest.mark.parametrize("exchange", EXCHANGES["masked"][:4])
def test_below_the_threshold_nothing_opens_and_the_next_attempt_may(
    tmp_path: Path, exchange: Exchange
) -> None:
    seen: list[Facts] = []
    study = made_of_four(tmp_path / "masked", **MASKED)
    with begun(study) as (embedded, name):
        dropping = Dropping(embedded.nodes, {"south": exchange, "west": exchange})
        with pytest.raises(QuorumLost, match="round 1 abandoned: 0 usable updates came"):
            conduct(embedded.federation, name, dropping, seen.append)
        assert summed(seen) == []
        lost = [one for one in seen if isinstance(one, SumLost)]
        assert [(one.exchange, one.left, one.needed) for one in lost] == [(exchange, 2, 3)]
        state = conduct(embedded.federation, name, Dropping(embedded.nodes), seen.append)
        (opened,) = summed(seen)
        assert (opened.attempt, set(opened.survivors)) == (2, set(FOUR))
        assert state.candidate is not None
        model = accepted(embedded, state.candidate)
    plain = model_of(made_of_four(tmp_path / "open"))
    assert np.abs(model - plain).max() <= bound(plain)


def test_sites_that_unmasked_take_part_in_no_later_attempt(tmp_path: Path) -> None:
    seen: list[Facts] = []
    with begun(made_of_four(tmp_path, **MASKED)) as (embedded, name):
        dropping = Dropping(embedded.nodes, {"south": "unmask", "west": "unmask"})
        for _ in range(2):
            with pytest.raises(QuorumLost, match="abandoned"):
                conduct(embedded.federation, name, dropping, seen.append)
            dropping = Dropping(embedded.nodes)
    lost = [(one.attempt, one.exchange, one.left) for one in seen if isinstance(one, SumLost)]
    assert lost == [(1, "unmask", 2), (2, "advertise", 2)]
    assert summed(seen) == []


class PowerCutError(BaseException):
    """Ends the work at once, as far as the code can tell."""


def cutting(
    exchange: Exchange, kind: type[Facts], purpose: str = "train"
) -> Callable[[Facts], None]:
    """End the process when the second event of a kind in an exchange was written."""
    count = 0

    def cut(facts: Facts) -> None:
        nonlocal count
        asked = f"{purpose}-1-{exchange}"
        if isinstance(facts, kind) and getattr(facts, "request", "").endswith(asked):
            count += 1
            if count == (1 if kind is ExchangeAsked else 2):
                raise PowerCutError

    return cut


@pytest.mark.parametrize("kind", [ExchangeAsked, ExchangeReplied])
@pytest.mark.parametrize("exchange", EXCHANGES["masked"])
def test_an_aggregator_that_is_killed_in_any_exchange_goes_on(
    tmp_path: Path, exchange: Exchange, kind: type[Facts]
) -> None:
    seen: list[Facts] = []
    study = made_of_four(tmp_path / "masked", **MASKED)
    with begun(study) as (embedded, name), pytest.raises(PowerCutError):
        conduct(embedded.federation, name, Dropping(embedded.nodes), cutting(exchange, kind))
    with study.opened() as embedded:
        state = conduct(embedded.federation, name, Dropping(embedded.nodes), seen.append)
        assert state.candidate is not None
        model = accepted(embedded, state.candidate)
    (opened,) = summed(seen)
    assert (opened.attempt, set(opened.survivors)) == (1, set(FOUR))
    plain = model_of(made_of_four(tmp_path / "open"))
    assert np.abs(model - plain).max() <= bound(plain)


def test_masked_histograms_give_the_figures_of_their_sum(tmp_path: Path) -> None:
    seen: list[Facts] = []
    with begun(made_of_four(tmp_path / "masked", **MASKED, **SUMMED)) as (embedded, name):
        masked = conduct(embedded.federation, name, Dropping(embedded.nodes), seen.append)
    with begun(made_of_four(tmp_path / "open", **MASKED)) as (embedded, name):
        plain = conduct(embedded.federation, name, Dropping(embedded.nodes), lambda _: None)
    (found,) = masked.histograms
    assert (found.site, found.of) == ("sum", FOUR)
    assert isinstance(found.histogram, Histogram)
    expected = np.sum([np.array(one.histogram.counts) for one in plain.histograms], axis=0)
    assert (np.array(found.histogram.counts) == expected).all()
    assert masked.verdict is not None
    assert plain.verdict is not None
    assert masked.verdict.pooled == plain.verdict.pooled
    assert [one.site for one in masked.verdict.sites] == ["sum"]
    assert [one.purpose for one in summed(seen)] == ["train", "evaluate"]
    assert summed(seen)[1].histogram == found.histogram


def test_a_lost_evaluation_is_inconclusive(tmp_path: Path) -> None:
    with begun(made_of_four(tmp_path, **MASKED, **SUMMED)) as (embedded, name):
        dropping = Dropping(embedded.nodes, {"south": "evaluate", "west": "evaluate"})
        state = conduct(embedded.federation, name, dropping, lambda _: None)
    assert (state.phase, state.histograms) == ("provisional", ())
    assert state.verdict is not None
    assert state.verdict.outcome == "inconclusive"


def test_a_private_masked_round_is_charged_once_whatever_its_attempts(tmp_path: Path) -> None:
    seen: list[Facts] = []
    private = PRIVATE | {"evaluation": {"rounds": [1], "bins": 10, "noise_multiplier": 3.0}}
    study = made_of_four(tmp_path, **(private | MASKED))
    with begun(study) as (embedded, name):
        dropping = Dropping(embedded.nodes, {"south": "input", "west": "input"})
        with pytest.raises(QuorumLost, match="abandoned"):
            conduct(embedded.federation, name, dropping, seen.append)
        conduct(embedded.federation, name, Dropping(embedded.nodes), seen.append)
        node = embedded.nodes["east"]
        charges = [one.facts for one in node.journal.events() if isinstance(one.facts, Reserved)]
        listed = [one for one in sent(tuple(node.journal.events())) if one.is_of_patients]
        left = [(one.artefact, one.is_charged) for one in listed]
    assert [one.part for one in charges] == ["train", "validation"]
    # The value left twice, under the masks of each attempt.
    assert left == [(one, True) for one in (*["value under masks"] * 2, "histogram")]
    stated = [one for one in seen if isinstance(one, ReplyReceived) and one.site == "east"]
    assert [one.privacy.part for one in stated if one.privacy] == ["train", "validation"]
    assert [one.arrays for one in stated] == [None, None]


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregation": {"algorithm": "scaffold"}, "local": STEPS},
        {"aggregation": {"algorithm": "fedavgm", "momentum": 0.5, "personalisation": {}}},
        {"protection": {"kind": "masked", "fraction_bits": 40}},
    ],
    ids=["scaffold", "personal models", "the ring 2^64"],
)
def test_other_plans_have_the_same_models_when_masked(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    two = {"rounds": 2, "evaluation": {"rounds": [2], "bins": 10}}
    masked = model_of(made_of_four(tmp_path / "masked", **(MASKED | two | changes)))
    plain = {name: one for name, one in changes.items() if name != "protection"}
    assert np.abs(masked - model_of(made_of_four(tmp_path / "open", **(two | plain)))).max() < 1e-5


def test_the_report_says_that_no_single_update_was_visible(tmp_path: Path) -> None:
    study = made_of_four(tmp_path, **MASKED, **SUMMED)
    with begun(study) as (embedded, name):
        conduct(embedded.federation, name, Dropping(embedded.nodes), lambda _: None)
        events = embedded.federation.journal.events()
        told = visibility(reading(events, run=name), study.parsed())
    assert told == (
        "No single update was ever visible: each left its site under masks, and the aggregator "
        "opened sums alone, 1 of 4 sites each. Attempts that were lost, with nothing opened: 0. "
        "No single histogram was visible either: sums alone, 1 of 4 sites each. Attempts that "
        "were lost, with nothing opened: 0."
    )
