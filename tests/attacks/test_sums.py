"""An aggregator that tells another story of its sums than the sites' own logs."""

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from aggregator.audit.bundle import bundled
from aggregator.audit.reading import reading
from aggregator.audit.visibility import visibility
from aggregator.config import AggregatorHome
from schemas.audit.events import AuditEvent
from schemas.audit.verification.container import Container
from schemas.plan import TrainingPlan
from schemas.update import Evaluation, Histogram
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from tests.bundles import OWN, Finished, repacked, understood
from tests.encrypted import ENCRYPTED
from tests.masked import FOUR, MASKED, SUMMED, made_of_four, model_of

Facts = dict[str, Any]


@cache
def masked_run() -> Finished:
    """Run a masked study to its end, once in a process."""
    return finished("input", MASKED | SUMMED)


@cache
def summed_evaluation_run() -> Finished:
    """Run a study of open updates and summed histograms to its end, once in a process."""
    return finished("input", SUMMED)


@cache
def encrypted_run() -> Finished:
    """Run an encrypted study to its end, once in a process."""
    return finished("encrypt", ENCRYPTED)


def finished(dropped: str, plan: Facts) -> Finished:
    """Run a study to its end; one site drops."""
    folder = Path(tempfile.mkdtemp(prefix="consilium-summed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    study = made_of_four(folder, **plan)
    model_of(study, {"south": dropped})
    home = AggregatorHome(study.aggregator)
    run = max(path.parent.name for path in home.runs.glob("*/plan.json"))
    path = folder / "bundle.zip"
    path.write_bytes(bundled(home, run))
    container = Container(path)
    files = {name: container.read(name) for name in container.entries}
    container.close()
    keys = {OWN: SigningKey.load(home.service_key)} | {
        f"site/{site}": SigningKey.load(root / "keys" / "signing")
        for site, root in study.nodes.items()
    }
    return Finished(run, files, SigningKey.load(home.root_key).public, keys)


def told(run: Finished, folder: Path, change: Callable[[Facts], None], kind: str) -> list[str]:
    """Change the first event of a kind in the aggregator's log, sign it anew, and verify."""
    lines = run.lines(OWN)
    for index, line in enumerate(lines):
        event = json.loads(line)
        if event["facts"]["kind"] == kind:
            change(event["facts"])
            lines[index] = rfc8785.dumps(event)
            break
    findings, _ = understood(repacked(run.rewritten(OWN, lines)), folder)
    return [one.found for one in findings.faults]


def test_an_untouched_masked_bundle_verifies(tmp_path: Path) -> None:
    findings, result = understood(repacked(masked_run().files), tmp_path)
    assert findings.faults == []
    assert result.rounds == (1,)
    assert set(result.verdicts) == {1}


def test_an_untouched_encrypted_bundle_verifies(tmp_path: Path) -> None:
    findings, result = understood(repacked(encrypted_run().files), tmp_path)
    assert findings.faults == []
    assert set(result.verdicts) == {1}


def drop_a_survivor(facts: Facts) -> None:
    del facts["survivors"]["west"]


def add_a_survivor(facts: Facts) -> None:
    facts["survivors"]["south"] = facts["survivors"]["west"]


def forge_an_agreement(facts: Facts) -> None:
    facts["agreements"]["west"] = facts["total"]


def leave_agreements_out(facts: Facts) -> None:
    del facts["agreements"]["west"]


def change_an_advert(facts: Facts) -> None:
    facts["advertised"]["west"] = facts["total"]


LIES: dict[str, tuple[Callable[[Facts], None], str]] = {
    "a survivor is left out": (drop_a_survivor, "2 sites are in it, 3 are needed"),
    "a site is put in": (add_a_survivor, "what it names of south in the exchange input was not"),
    "an agreement is invented": (forge_an_agreement, "west agreed to no such set of survivors"),
    "too few agreements": (leave_agreements_out, "2 sites agreed, 3 of those in it are needed"),
    "another advert": (change_an_advert, "what it names of west in the exchange advertise was not"),
}


def leave_openings_out(facts: Facts) -> None:
    del facts["openings"]["west"]


def forge_an_opening(facts: Facts) -> None:
    facts["openings"]["west"] = facts["agreements"]["west"]


ENCRYPTED_LIES: dict[str, tuple[Callable[[Facts], None], str]] = {
    "a survivor is left out": (drop_a_survivor, "2 sites are in it, 3 are needed"),
    "a site is put in": (add_a_survivor, "what it names of south in the exchange encrypt was not"),
    "an agreement is invented": (forge_an_agreement, "west agreed to no such set of survivors"),
    "another announcement": (change_an_advert, "what it names of west in the exchange announce"),
    "too few openings": (leave_openings_out, "2 sites opened it, 3 are needed"),
    "an opening is invented": (forge_an_opening, "what it names of west in the exchange open was"),
}


@pytest.mark.parametrize(("lie", "found"), ENCRYPTED_LIES.values(), ids=ENCRYPTED_LIES)
def test_an_encrypted_sum_that_is_told_otherwise_is_found(
    tmp_path: Path, lie: Callable[[Facts], None], found: str
) -> None:
    assert any(found in one for one in told(encrypted_run(), tmp_path, lie, "sum-opened"))


@pytest.mark.parametrize(("lie", "found"), LIES.values(), ids=LIES)
def test_a_sum_that_is_told_otherwise_is_found(
    tmp_path: Path, lie: Callable[[Facts], None], found: str
) -> None:
    assert any(found in one for one in told(masked_run(), tmp_path, lie, "sum-opened"))


WHOLE = {
    "a masked update": (masked_run, "train", "update"),
    "a masked histogram": (masked_run, "evaluate", "histogram"),
    "a masked histogram of open updates": (summed_evaluation_run, "evaluate", "histogram"),
    "an encrypted update": (encrypted_run, "train", "update"),
}


@pytest.mark.parametrize(("run", "purpose", "artefact"), WHOLE.values(), ids=WHOLE)
def test_what_left_a_site_by_itself_where_only_sums_are_opened_is_found(
    tmp_path: Path, run: Callable[[], Finished], purpose: str, artefact: str
) -> None:
    """An aggregator and a node that agree on it leave the node's own word."""
    lines = run().lines("site/east")
    events = [json.loads(line) for line in lines]
    index = next(
        at
        for at, one in enumerate(events)
        if one["facts"]["kind"] == "reply-sent" and f".{purpose}" in one["facts"]["request"]
    )
    assert events[index]["facts"]["artefact"] == "self-check"
    events[index]["facts"]["artefact"] = artefact
    lines[index] = rfc8785.dumps(events[index])
    findings, _ = understood(repacked(run().rewritten("site/east", lines)), tmp_path)
    found = f"{artefact} of round 1 left this site in the open"
    assert ("site/east", index, found) in {
        (one.log, one.index, one.found) for one in findings.faults
    }


EAST = "site/east"


def retold(folder: Path, change: Callable[[list[Facts]], None]) -> list[str]:
    """Change what east's log says, sign it anew in east's name, and verify."""
    run = masked_run()
    events = [json.loads(line) for line in run.lines(EAST)]
    change(events)
    for place, event in enumerate(events):
        event["sequence"] = place
    findings, _ = understood(
        repacked(run.rewritten(EAST, [rfc8785.dumps(one) for one in events])), folder
    )
    return [one.found for one in findings.faults]


def the_only(events: list[Facts], kind: str, **named: str) -> Facts:
    (found,) = (
        one
        for one in events
        if one["facts"]["kind"] == kind and named.items() <= one["facts"].items()
    )
    return dict(found)


def give_twice(events: list[Facts]) -> None:
    given = the_only(events, "sum-given", purpose="train")
    events.append(given | {"facts": given["facts"] | {"run": "later", "sites": FOUR}})


def know_another_key(events: list[Facts]) -> None:
    taken = the_only(events, "peers-taken")
    taken["facts"]["keys"]["west"] = SigningKey.generate().public


GIVEN: dict[str, tuple[Callable[[list[Facts]], None], str]] = {
    "to two sums over one model": (give_twice, "this site gave to two sums over one model"),
    "to another's key": (know_another_key, "this site knew west by a key that no roster"),
}


@pytest.mark.parametrize(("change", "found"), GIVEN.values(), ids=GIVEN)
def test_a_site_that_says_what_could_show_a_value_is_found(
    tmp_path: Path, change: Callable[[list[Facts]], None], found: str
) -> None:
    assert any(found in one for one in retold(tmp_path, change))


def test_an_untouched_bundle_of_open_updates_and_masked_histograms_verifies(tmp_path: Path) -> None:
    findings, _ = understood(repacked(summed_evaluation_run().files), tmp_path)
    assert findings.faults == []


def test_a_histogram_that_a_site_signed_alone_is_found_in_the_bundle(tmp_path: Path) -> None:
    run = masked_run()
    plan = TrainingPlan.from_canonical(run.files["plan.json"])
    found = Evaluation(
        federation="t",
        run=run.run,
        plan=plan.digest,
        round=1,
        request=f"{run.run}.1.evaluate",
        site="west",
        head=run.files["logs/site/west/heads/own"].decode(),
        arrays=plan.initial.arrays or "",
        histogram=Histogram(counts=((1,), (2,))),
        privacy=None,
    )
    envelope = signed(found, run.keys["site/west"])
    files = run.listed(run.files | {"evaluations/000001-west.json": envelope})
    findings, _ = understood(repacked(files), tmp_path)
    told = "a histogram of round 1 that west signed alone is here"
    assert told in [one.found for one in findings.faults]


def test_the_log_tells_who_was_in_each_sum_and_no_share() -> None:
    lines = [json.loads(line)["facts"] for line in masked_run().lines(OWN)]
    sums = [one for one in lines if one["kind"] == "sum-opened"]
    assert [one["purpose"] for one in sums] == ["train", "evaluate"]
    assert [set(one["survivors"]) for one in sums] == [set(FOUR) - {"south"}] * 2
    named = {field for one in lines if one["kind"].startswith("exchange") for field in one}
    assert named == {
        *("kind", "run", "round", "request", "purpose", "attempt", "exchange", "arrays", "sites"),
        *("site", "reply", "size_bytes"),
    }


SAID: dict[str, tuple[Callable[[], Finished], str]] = {
    "masked": (masked_run, "No single update was ever visible: each left its site under masks"),
    "encrypted": (encrypted_run, "any one site, by itself, could have opened each update in them"),
}


@pytest.mark.parametrize(("run", "said"), SAID.values(), ids=SAID)
def test_the_report_says_who_could_read_an_update(run: Callable[[], Finished], said: str) -> None:
    told = run()
    events = [AuditEvent.from_canonical(line) for line in told.lines(OWN)]
    plan = TrainingPlan.from_canonical(told.files["plan.json"])
    text = visibility(reading(events, run=told.run), plan)
    assert said in text
    assert "sums alone, 1 of 3 sites each. Attempts that were lost, with nothing opened: 0." in text
