"""What a report says of incidents and sign-offs, and what may be signed off."""

import json
from pathlib import Path

import pytest
import rfc8785

from aggregator.audit import signing
from aggregator.audit.rendering import render
from aggregator.audit.report import report
from aggregator.audit.signing import Review, signed_off
from aggregator.federation import opened
from aggregator.verification.whole import Verified, verified
from schemas.audit.events import ForkSeen, SignedOff
from schemas.audit.notes import TreeHead, signed_head
from schemas.errors import InputRefused, IntegrityLost
from schemas.names import digest_of
from tests.aggregator.audit import runs
from tests.bundles import Finished, finished_study, held, repacked
from tests.study import Study, made


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


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Finished]:
    study = made(tmp_path_factory.mktemp("reviewed"), private=True)
    return study, finished_study(study)


def retitled(run: Finished) -> bytes:
    """Put another plan's title into a bundle, and list it again in the aggregator's name."""
    plan = json.loads(run.files["plan.json"]) | {"title": "Another study"}
    files = run.files | {"plan.json": rfc8785.dumps(plan)}
    return repacked(run.listed(files))


def test_only_what_the_whole_verification_passes_is_approved(
    studied: tuple[Study, Finished], tmp_path: Path
) -> None:
    study, run = studied
    path = tmp_path / "b.zip"
    path.write_bytes(retitled(run))
    assert held(path.read_bytes(), tmp_path).faults == []  # its integrity alone shows nothing
    with opened(study.aggregator) as federation:
        for meaning in ("reviewed", "approved"):
            with pytest.raises(IntegrityLost, match=r"faults were found in b\.zip"):
                signed_off(federation, Review(run.run, path, "R", meaning))
        signed = signed_off(federation, Review(run.run, path, "R", "rejected"))
        assert signed.bundle == digest_of(path.read_bytes())
        path.write_bytes(repacked(run.files))
        assert signed_off(federation, Review(run.run, path, "R", "approved")).name == "R"
        with pytest.raises(InputRefused, match=f"is of run {run.run}, not of another"):
            signed_off(federation, Review("another", path, "R", "approved"))
        with pytest.raises(InputRefused, match="line 1 is none that a policy has"):
            signed_off(federation, Review(run.run, path, "R", "approved", "nonsense"))
        with pytest.raises(InputRefused, match=r"gone\.zip cannot be verified"):
            signed_off(federation, Review(run.run, tmp_path / "gone.zip", "R", "approved"))


def test_a_file_that_is_changed_meanwhile_is_not_what_was_signed_off(
    studied: tuple[Study, Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, run = studied
    path, good = tmp_path / "b.zip", repacked(run.files)
    path.write_bytes(good)

    def swapped(copy: Path, policy: str | None = None) -> Verified:
        path.write_bytes(retitled(run))
        return verified(copy, policy)

    monkeypatch.setattr(signing, "verified", swapped)
    with opened(study.aggregator) as federation:
        signed = signed_off(federation, Review(run.run, path, "R", "approved"))
    assert signed.bundle == digest_of(good) != digest_of(path.read_bytes())
