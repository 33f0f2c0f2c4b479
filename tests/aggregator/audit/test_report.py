"""The report: what it holds, what it finds, and that it never says more than the journal does."""

import pytest

from aggregator.audit.report import Report, ReportFacts, report
from schemas.audit.events import AuditEvent, Quarantined
from schemas.names import digest_of
from schemas.pages.records import Finding, Standing
from schemas.wire.keys import SigningKey
from tests.aggregator.audit import plans, runs
from tests.aggregator.audit.verdicts import metric, model


def reported(log: runs.Log, facts: ReportFacts | None = None) -> Report:
    return report(log.events, plan=log.plan, run=runs.RUN, facts=facts or log.facts())


def found(made: Report, subject: str) -> Finding:
    return next(one for one in made.findings if one.subject == subject)


def standings(made: Report) -> dict[str, Standing]:
    return {one.subject: one.standing for one in made.findings}


@pytest.fixture(scope="module")
def private() -> Report:
    return reported(runs.private_run())


def test_the_json_is_canonical_and_reads_back_as_the_same_report(private: Report) -> None:
    assert Report.from_canonical(private.canonical()) == private


def test_equal_events_give_an_equal_report(private: Report) -> None:
    assert reported(runs.private_run()).canonical() == private.canonical()


def test_five_verdicts_stand_on_top_in_their_order(private: Report) -> None:
    assert standings(private) == {
        "integrity": "PASS",
        "privacy": "PASS",
        "contract": "PASS",
        "gate": "ATTENTION",
        "exceptions": "ATTENTION",
    }
    assert list(standings(private)) == ["integrity", "privacy", "contract", "gate", "exceptions"]


def test_integrity_says_what_it_covers(private: Report) -> None:
    assert "what the sites cosigned is in the run's bundle" in found(private, "integrity").sentence


def test_every_reply_is_listed_once_with_its_digests_and_bytes(private: Report) -> None:
    assert len(private.releases) == 33
    assert len({one.reply for one in private.releases}) == 33
    first = private.releases[0]
    assert (first.round, first.site, first.purpose) == (1, "charite", "train")
    assert (first.reply, first.size_bytes) == (digest_of(b"charite.1.train"), 9873)


def test_a_repeated_reply_is_one_release() -> None:
    log = runs.private_run()
    before = len(reported(log).releases)
    log.note(next(one.facts for one in log.events if one.facts.kind == "reply-received"))
    assert len(reported(log).releases) == before


def test_rounds_carry_outcome_counts_and_seconds(private: Report) -> None:
    outcomes = [one.outcome for one in private.rounds]
    assert outcomes == [
        "provisional",
        "accepted",
        "provisional",
        "inconclusive",
        "provisional",
        "rejected",
        "provisional",
        "accepted",
    ]
    third, sixth = private.rounds[2], private.rounds[5]
    assert (third.train.asked, third.train.replied, third.train.refused) == (3, 2, 1)
    assert sixth.evaluation is not None
    assert (sixth.train.quarantined, sixth.evaluation.quarantined) == (1, 0)
    assert sixth.evaluation.replied == 2
    assert private.rounds[0].seconds == 13.5


def test_the_lineage_leaves_out_what_was_rolled_back(private: Report) -> None:
    assert private.accepted is not None
    assert private.accepted.arrays == model(8)
    assert [(one.round, one.site) for one in private.accepted.lineage] == [
        (number, site) for number in (1, 2, 7, 8) for site in plans.SITES
    ]


def test_the_lineage_keeps_an_undecided_round_and_leaves_out_a_quarantined_update() -> None:
    log = runs.Log(plans.private_plan())
    log.begin()
    log.train(1)
    log.move(1, "combined", "provisional")
    log.move(2, "provisional", "opened")
    log.ask(2, "train")
    for site in plans.SITES:
        log.reply(site, 2, "train")
    log.quarantine("leeds", 2, "norm", "its norm is too large")
    log.combine(2)
    log.judge(2, "inconclusive", metric("charite", 0.6))
    log.train(3)
    log.move(3, "combined", "provisional")
    log.train(4)
    log.judge(4, "accepted", metric("charite", 0.7))
    accepted = reported(log).accepted
    assert accepted is not None
    named = [(one.round, one.site) for one in accepted.lineage]
    assert (2, "charite") in named
    assert (2, "leeds") not in named
    assert {number for number, _ in named} == {1, 2, 3, 4}


def test_an_undefined_figure_has_a_reason_and_stays_out_of_the_mean(private: Report) -> None:
    first = private.judgements[0]
    assert [one.site for one in first.undefined] == ["hannover"]
    assert "negatives weigh 1.8 noised patients" in first.undefined[0].reason
    assert first.deviation == pytest.approx(0.031 / 2**0.5)


def test_epsilon_is_the_last_stated_one_and_the_run_is_priced_again(private: Report) -> None:
    row = next(one for one in private.privacy.spends if (one.site, one.part) == ("leeds", "train"))
    assert row.releases == 8
    assert row.spent is not None
    assert row.run_rdp == pytest.approx(row.spent.rdp)
    assert row.spent.pld <= row.spent.rdp


def test_a_site_that_states_too_little_is_found() -> None:
    log = runs.private_run()
    log.reply("leeds", 9, "train", cheaper=0.5)
    finding = found(reported(log), "privacy")
    assert finding.standing == "FAIL"
    assert "leeds, train part: states epsilon" in finding.details[0]


def test_a_reply_with_another_mechanism_than_the_plans_is_found() -> None:
    log = runs.private_run()
    other = plans.private_plan()
    privacy = other.privacy.model_copy(update={"noise_multiplier": 1.0})
    log.plan = other.model_copy(update={"privacy": privacy})
    log.reply("leeds", 9, "train")
    log.plan = other
    finding = found(reported(log), "privacy")
    assert finding.standing == "FAIL"
    assert "round 9, leeds: its mechanism is not the plan's" in finding.details


def test_a_plan_without_privacy_fails_and_has_no_epsilon() -> None:
    made = reported(runs.open_run())
    assert standings(made) == {
        "integrity": "PASS",
        "privacy": "FAIL",
        "contract": "PASS",
        "gate": "PASS",
        "exceptions": "PASS",
    }
    assert {one.reason for one in made.privacy.spends} == {"undefined: the plan has no privacy"}
    assert "No differential privacy" in made.privacy.summary


def test_the_report_bounds_charged_releases_and_lists_what_is_outside(private: Report) -> None:
    stated = private.privacy
    assert "from all charged releases of " in stated.summary
    assert "over every charged release ever made" in stated.accountant
    subjects = {one.partition(":")[0] for one in stated.outside}
    assert {
        "a hospital's own files",
        "identical images",
        "journals",
        "releases of plans without privacy",
        "unfit cohorts",
    } <= subjects


def test_pretrained_weights_stand_outside_the_guarantee_by_digest(private: Report) -> None:
    plan = plans.private_plan()
    brought = digest_of(b"weights")
    initial = plan.initial.model_copy(update={"pretrained": brought})
    log = runs.Log(plan.model_copy(update={"initial": initial}))
    log.begin()
    (line,) = set(reported(log).privacy.outside) - set(private.privacy.outside)
    assert line.startswith(f"pretrained weights: the plan starts from the file {brought};")


def test_a_run_without_any_round_has_nothing_to_show_and_says_so() -> None:
    made = reported(runs.empty_run())
    assert (made.rounds, made.judgements, made.releases, made.accepted) == ((), (), (), None)
    assert standings(made)["privacy"] == standings(made)["gate"] == "ATTENTION"


def test_a_run_that_ended_without_a_model_fails_its_gate() -> None:
    log = runs.empty_run()
    log.close(None, "a round was abandoned")
    assert found(reported(log), "gate").standing == "FAIL"


def test_a_run_that_ends_with_another_model_than_the_gates_fails() -> None:
    log = runs.private_run()
    log.events.pop()
    log.close(6)
    finding = found(reported(log), "gate")
    assert finding.standing == "FAIL"
    assert finding.details[0] == "the run ended with another model than the gate accepted last"


def test_an_abandoned_round_fails_until_it_is_opened_again_and_ended() -> None:
    log = runs.empty_run()
    log.move(1, "accepted", "opened")
    log.ask(1, "train")
    log.move(1, "collected", "abandoned")
    assert found(reported(log), "exceptions").standing == "FAIL"
    log.open(resumed=True)
    log.train(1)
    log.move(1, "combined", "provisional")
    finding = found(reported(log), "exceptions")
    assert finding.standing == "ATTENTION"
    assert finding.details == ("round 1 was abandoned, opened again and ended",)


def test_another_plan_or_contract_than_the_runs_is_found() -> None:
    log = runs.private_run()
    facts = log.facts().model_copy(
        update={"contract": log.facts().contract.model_copy(update={"purpose": "another"})}
    )
    assert found(reported(log, facts), "contract").standing == "FAIL"
    log.plan = plans.private_plan(title="another title")
    assert found(reported(log), "contract").standing == "FAIL"


def changed(log: runs.Log) -> None:
    place = next(
        index for index, one in enumerate(log.events) if isinstance(one.facts, Quarantined)
    )
    facts = log.events[place].facts.model_copy(update={"reason": "nothing of note"})
    log.events[place] = log.events[place].model_copy(update={"facts": facts})


def dropped(log: runs.Log) -> None:
    del log.events[40]


def truncated(log: runs.Log) -> None:
    log.events.pop()


def swapped(log: runs.Log) -> None:
    log.events[40], log.events[41] = log.events[41], log.events[40]


@pytest.mark.parametrize("tampered", [changed, dropped, truncated, swapped])
def test_a_journal_that_is_not_the_signed_one_fails(tampered: object) -> None:
    log = runs.private_run()
    facts = log.facts()
    assert callable(tampered)
    tampered(log)
    assert found(reported(log, facts), "integrity").standing == "FAIL"


def test_a_tree_head_of_another_key_fails() -> None:
    log = runs.private_run()
    facts = log.facts().model_copy(update={"key": SigningKey.generate().public})
    finding = found(reported(log, facts), "integrity")
    assert finding.standing == "FAIL"
    assert "does not verify" in finding.sentence


def test_events_after_the_signed_head_need_attention() -> None:
    log = runs.private_run()
    facts = log.facts()
    log.lose("leeds", 8, "evaluate")
    finding = found(reported(log, facts), "integrity")
    assert finding.standing == "ATTENTION"
    assert finding.details == ("1 events stand after the signed head",)


def test_events_of_another_run_are_not_reported(private: Report) -> None:
    log = runs.private_run()
    other: list[AuditEvent] = []
    for one in log.events:
        update = {"run": "another-run"} if hasattr(one.facts, "run") else {}
        other.append(one.model_copy(update={"facts": one.facts.model_copy(update=update)}))
    log.note(*(one.facts for one in other if getattr(one.facts, "run", "") == "another-run"))
    made = reported(log)
    assert made.releases == private.releases
    assert made.rounds == private.rounds


def test_no_word_of_the_report_claims_conformance_with_a_law(private: Report) -> None:
    assert b"complian" not in private.canonical().lower()
