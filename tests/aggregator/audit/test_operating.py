"""The figures of accepted models: which rows there are, and how far their intervals reach."""

import pytest

from aggregator.audit.operating import figure_rows, named_estimates
from aggregator.audit.rendering import render
from aggregator.audit.report import report
from tests.aggregator.audit import runs
from tests.aggregator.audit.verdicts import metric, verdict

SITES = (metric("charite", 0.9), metric("hannover", None), metric("leeds", 0.7))
REACH = 1.959964


def test_only_an_accepted_model_has_rows() -> None:
    for outcome in ("rejected", "inconclusive"):
        assert figure_rows(verdict(2, outcome, SITES), confidence=0.95) == ()
    rows = figure_rows(verdict(2, "accepted", SITES), confidence=0.95)
    assert [one.site for one in rows] == ["charite", "hannover", "leeds", None]


def test_an_undefined_figure_stays_undefined() -> None:
    _, light, _, whole = figure_rows(verdict(2, "accepted", SITES), confidence=0.95)
    assert (light.value, light.specificity) == (None, None)
    assert light.sensitivity is not None
    assert whole.value is not None
    assert whole.value.value == pytest.approx(0.8)
    none = figure_rows(verdict(2, "accepted", (SITES[1],)), confidence=0.95)
    assert none[-1].value is None


def test_intervals_hold_noise_alone_and_with_sampling_and_end_where_the_figure_does() -> None:
    row = figure_rows(verdict(2, "accepted", SITES), confidence=0.95)[0]
    assert row.value is not None
    assert row.value.noise == pytest.approx((0.9 - REACH * 0.031, 0.9 + REACH * 0.031))
    both = REACH * (0.031**2 + 0.038**2) ** 0.5
    assert row.value.whole == pytest.approx((0.9 - both, min(1.0, 0.9 + both)))
    assert row.sensitivity is not None
    assert row.sensitivity.noise is not None
    assert row.sensitivity.noise[1] == 1.0
    assert row.calibration_error is not None
    assert row.calibration_error.noise is not None
    assert row.calibration_error.noise[0] == 0.0
    assert row.calibration_in_the_large is not None
    assert row.calibration_in_the_large.whole[0] < 0.0


def test_without_noise_there_is_one_interval() -> None:
    row = figure_rows(verdict(2, "accepted", (metric("leeds", 0.7, 0.0),)), confidence=0.95)[0]
    assert row.value is not None
    assert row.value.noise is None
    assert row.value.whole[0] < 0.7 < row.value.whole[1]


def test_every_figure_of_every_site_is_named() -> None:
    found = named_estimates(verdict(2, "rejected", SITES))
    assert len(found) == 3 + 4 * 4
    assert ("AUROC", "hannover", None) in found
    assert {one[1] for one in found} == {"charite", "hannover", "leeds", "sum of all"}


def test_the_page_says_what_the_intervals_hold() -> None:
    log = runs.private_run()
    page = render(report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts()))
    assert "Round 2: the accepted model at threshold 0.5" in page
    assert "Noise: what the sites added, alone. All: with the sampling of patients" in page
    assert "calibration is known to 0.05 at best" in page
