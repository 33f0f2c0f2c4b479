"""What a report tells of a model's release, and of who signed for it."""

from aggregator.audit.report import Report, report
from tests.aggregator.audit import runs
from tests.aggregator.audit.verdicts import model


def reported(log: runs.Log) -> Report:
    return report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts())


def test_the_release_and_its_receipts_are_told_and_who_is_without() -> None:
    handed = reported(runs.private_run()).handover
    assert handed is not None
    assert handed.is_released
    assert handed.arrays == model(8)
    assert [one.site for one in handed.receipts] == ["charite", "leeds"]
    assert handed.without == ("hannover",)


def test_a_delivery_that_was_not_signed_for_is_no_missing_update() -> None:
    private = reported(runs.private_run())
    (last,) = (one for one in private.missing if one.round == 8)
    assert (last.site, last.purpose) == ("hannover", "deliver")
    assert private.rounds[-1].train.missing == 0


def test_a_receipt_that_was_refused_belongs_to_the_delivery() -> None:
    log = runs.private_run()
    log.quarantine("hannover", 8, "receipt", "receipt refused: it is about another model")
    made = reported(log)
    assert [one.purpose for one in made.quarantines if one.round == 8] == ["deliver"]
    assert made.rounds[-1].evaluation == reported(runs.private_run()).rounds[-1].evaluation


def test_a_model_that_was_withheld_calls_for_a_person_and_went_nowhere() -> None:
    made = reported(runs.withheld_run())
    gate = next(one for one in made.findings if one.subject == "gate")
    assert gate.standing == "ATTENTION"
    assert gate.details == ("not released: stratified AUROC 0.750 misses the least of 0.800",)
    assert made.handover is not None
    assert not made.handover.is_released
    assert (made.handover.receipts, made.handover.without) == ((), ())


def test_a_run_without_a_decision_tells_of_none() -> None:
    assert reported(runs.open_run()).handover is None
