"""What the whole journal says beside the run: keys and software."""

import pytest

from aggregator.audit.rendering import render
from aggregator.audit.report import report
from schemas.audit.events import KeyReplaced, Revoked, SoftwareStarted, SoftwareStopped
from schemas.errors import InputRefused
from schemas.names import digest_of
from tests.aggregator.audit import runs
from tests.aggregator.audit.test_report import reported


def test_replaced_and_revoked_keys_are_listed() -> None:
    log = runs.private_run()
    old, new = runs.KEYS["leeds"].public, runs.KEYS["charite"].public
    for reason in ("planned", "compromised"):
        log.note(
            KeyReplaced(
                federation="lung-federation", party="leeds", old=old, new=new, reason=reason
            )
        )
    log.note(Revoked(federation="lung-federation", party="leeds", key=new))
    made = reported(log)
    assert [(one.party, one.what, one.former) for one in made.key_changes] == [
        ("leeds", "replaced-planned", old),
        ("leeds", "replaced-compromised", old),
        ("leeds", "revoked", new),
    ]
    assert all(one.former in render(made) for one in made.key_changes)


def test_software_that_was_cut_off_is_counted() -> None:
    log = runs.private_run()
    started = SoftwareStarted(command="run", version="0.1.0", code=digest_of(b"code"))
    stopped = SoftwareStopped(
        command="run", version="0.1.0", code=digest_of(b"code"), outcome="done"
    )
    for one in (started, stopped, started, started):
        log.note(one)
    (row,) = reported(log).software
    assert (row.starts, row.cut_off) == (4, 2)


def test_a_run_that_the_journal_does_not_hold_is_refused() -> None:
    log = runs.empty_run()
    with pytest.raises(InputRefused, match=f"holds no run other, only {runs.RUN}"):
        report(log.events, plan=log.plan, run="other", facts=log.facts())
