"""What a report says of incidents and sign-offs."""

from aggregator.audit.rendering import render
from aggregator.audit.report import report
from schemas.audit.events import ForkSeen, SignedOff
from schemas.audit.notes import TreeHead, signed_head
from schemas.names import digest_of
from tests.aggregator.audit import runs


def test_a_fork_fails_the_exceptions_and_names_whose_log_it_is() -> None:
    log = runs.private_run()
    shown = signed_head(TreeHead("site/north", 9, bytes(32)), runs.KEYS["aggregator"])
    log.note(ForkSeen(known=None, shown=shown))
    made = report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts())
    finding = next(one for one in made.findings if one.subject == "exceptions")
    assert finding.standing == "FAIL"
    assert finding.details[0] == (
        f"incident: site/north signed two histories of its log (event {len(log.events) - 1})"
    )


def test_a_sign_off_stands_on_the_page_with_its_name_time_and_meaning() -> None:
    log = runs.private_run()
    before = report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts())
    assert "Nobody has signed this run off yet" in render(before)
    bundle = digest_of(b"bundle")
    log.note(SignedOff(run=runs.RUN, bundle=bundle, name="R. <Reviewer>", meaning="approved"))
    made = report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts())
    [row] = made.sign_offs
    assert (row.name, row.meaning, row.bundle) == ("R. <Reviewer>", "approved", bundle)
    assert row.time == log.events[-1].time
    page = render(made)
    assert "R. &lt;Reviewer&gt;" in page
    assert bundle in page
