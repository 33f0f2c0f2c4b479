"""Bundles of federations whose keys were replaced, stolen or revoked, and whoever signs on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.config import AggregatorHome
from aggregator.federation import opened
from aggregator.rotation import read_rotation, replaced, service_replaced
from aggregator.tls import make_tls
from hospital_node.config import Membership
from hospital_node.rotation import go_over, rotation
from schemas.audit.merkle import grown
from schemas.audit.notes import TreeHead, signed_head, vkey, witness_name
from schemas.audit.verification.parties import PolicyUnfit, claimed
from schemas.enrolment import KeyRotation
from schemas.wire.envelope import Envelope, signed
from schemas.wire.keys import SigningKey
from tests.bundles import FOLDERS, OWN, Finished, apart, held, repacked, understood
from tests.study import Study, made

ADDRESS = "127.0.0.1:9"
EAST = "site/east"


def addressed(folder: Path) -> Study:
    """Make a study whose aggregator has an address, as one that replaces keys has."""
    study = made(folder)
    home = AggregatorHome(study.aggregator)
    home.config.write_text(f'{home.config.read_text()}\naddress = "{ADDRESS}"\n')
    make_tls(home.tls, federation="t", address=ADDRESS)
    return study


def rotated(study: Study, *, is_compromised: bool) -> SigningKey:
    """Put new keys in the place of those of east; return the former one."""
    with study.opened() as embedded:
        federation, node = embedded.federation, embedded.nodes["east"]
        former, request = node.key, rotation(node)
        found = read_rotation(federation.roster(), request)
        replaced(federation, found, is_compromised=is_compromised)
        root, roster = federation.roster_envelope()
        go_over(node, Membership(federation="t", root=root, roster=roster.decode()))
    return former


@pytest.fixture(scope="module", params=["planned", "compromised"])
def changed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Finished, SigningKey, bool]:
    """A federation that ran, replaced keys of east and its own, and ran again."""
    study = addressed(tmp_path_factory.mktemp(request.param))
    study.conducted()
    former = rotated(study, is_compromised=request.param == "compromised")
    with opened(study.aggregator) as federation:
        service_replaced(federation)
    study.conducted()
    return apart(study), former, request.param == "compromised"


Changed = tuple[Finished, SigningKey, bool]


def test_both_runs_verify_under_the_keys_that_counted_then(
    changed: Changed, tmp_path: Path
) -> None:
    run, _, _ = changed
    findings, result = understood(repacked(run.files), tmp_path)
    assert findings.faults == []
    assert result.verdicts.keys() == {1, 2}


def test_a_head_that_the_former_key_signs_later_refutes_or_counts_for_nothing(
    changed: Changed, tmp_path: Path
) -> None:
    """A replaced key's owner answers for it; a thief can refute nothing."""
    run, former, is_compromised = changed
    lines = run.lines(EAST)
    forged = signed_head(TreeHead(EAST, len(lines), b"\7" * 32), former)
    name = FOLDERS[EAST] + "heads/other"
    findings = held(repacked(run.listed(run.files | {name: forged.encode()})), tmp_path)
    if is_compromised:
        assert findings.faults == []
        assert any("stolen or revoked" in one.found for one in findings.remarks)
    else:
        assert [one.log for one in findings.faults] == [name]
        assert "a key that did not count for it" in findings.faults[0].found


def test_a_history_that_the_former_key_signs_instead_is_found(
    changed: Changed, tmp_path: Path
) -> None:
    run, former, _ = changed
    lines = run.lines(EAST)[:-1]
    files = run.rewritten(EAST, lines)
    head = signed_head(TreeHead(EAST, len(lines), grown(lines).root()), former)
    files = run.listed(files | {FOLDERS[EAST] + "heads/own": head.encode()})
    assert any(one.log == EAST for one in held(repacked(files), tmp_path).faults)


def _without(kind: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [one for one in lines if kind not in one]


@pytest.mark.parametrize("origin", [OWN, EAST])
def test_a_replacement_that_one_side_hides_is_found(
    changed: Changed, tmp_path: Path, origin: str
) -> None:
    run, _, _ = changed
    cut = _without(b'"kind":"key-replaced"')(run.lines(origin))
    other = [_renumbered(one, at) for at, one in enumerate(cut)]
    assert len(other) < len(run.lines(origin))
    assert held(repacked(run.rewritten(origin, other)), tmp_path).faults


def _renumbered(line: bytes, at: int) -> bytes:
    head, _, rest = line.partition(b'"sequence":')
    return head + b'"sequence":%d' % at + rest.lstrip(b"0123456789")


@pytest.fixture(scope="module")
def lagging(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, SigningKey]:
    """A federation that replaced keys of east as planned, before east installed the answer."""
    study = addressed(tmp_path_factory.mktemp("lagging"))
    study.conducted()
    with study.opened() as embedded:
        node = embedded.nodes["east"]
        found = read_rotation(embedded.federation.roster(), rotation(node))
        replaced(embedded.federation, found, is_compromised=False)
        following = SigningKey.load(node.home.next_keys / node.home.signing_key.name)
    return apart(study), following


def test_a_run_without_a_site_that_has_not_gone_over_yet_is_no_fault(tmp_path: Path) -> None:
    study = addressed(tmp_path)
    study.conducted()
    with study.opened() as embedded:
        found = read_rotation(embedded.federation.roster(), rotation(embedded.nodes["east"]))
        replaced(embedded.federation, found, is_compromised=False)
    study.conducted()
    assert held(repacked(apart(study).files), tmp_path).faults == []


def test_a_site_that_has_not_gone_over_yet_is_no_fault(
    lagging: tuple[Finished, SigningKey], tmp_path: Path
) -> None:
    run, _ = lagging
    assert held(repacked(run.files), tmp_path).faults == []


@pytest.mark.parametrize("signer", ["the former key", "the new key"])
def test_a_log_without_its_replacement_goes_on_under_neither_key(
    lagging: tuple[Finished, SigningKey], tmp_path: Path, signer: str
) -> None:
    """Cut before the replacement, or never written: the former key does not count for ever."""
    run, following = lagging
    if signer == "the new key":
        run = replace(run, keys=run.keys | {EAST: following})
    lines = run.lines(EAST)
    files = run.rewritten(EAST, [*lines, _renumbered(lines[-1], len(lines))])
    faults = held(repacked(files), tmp_path).faults
    own = FOLDERS[EAST] + "heads/own"
    assert any(one.log == own and "did not count for it" in one.found for one in faults)


def test_a_key_that_the_aggregator_replaces_alone_is_found(
    lagging: tuple[Finished, SigningKey], tmp_path: Path
) -> None:
    run, _ = lagging
    (asked,) = (name for name in run.files if name.startswith("rotations/"))
    node = SigningKey.generate()
    payload = Envelope.from_canonical(run.files[asked]).payload_bytes
    for content in (None, signed(KeyRotation.from_canonical(payload), node)):
        files = {name: one for name, one in run.files.items() if name != asked}
        files |= {} if content is None else {asked: content}
        faults = held(repacked(run.listed(files)), tmp_path).faults
        assert [one.log for one in faults] == [OWN]
        assert "its former key did not ask for that" in faults[0].found


def test_an_aggregators_key_that_nothing_of_the_former_one_names_is_found(
    changed: Changed, tmp_path: Path
) -> None:
    run, _, _ = changed
    lines = run.lines(OWN)
    at = next(n for n, one in enumerate(lines) if b'"party":"aggregator"' in one and EVENT in one)
    files = {name: one for name, one in run.files.items() if f"roster-{at + 1:012d}" not in name}
    assert len(files) == len(run.files) - 1
    (fault,) = held(repacked(run.listed(files)), tmp_path).faults
    assert (fault.log, fault.index) == (OWN, at)
    assert "no head that it signed covers that" in fault.found


EVENT = b'"kind":"key-replaced"'


def policy_of(run: Finished) -> str:
    """Write the policy of a reviewer who trusts the keys of a bundle's roster."""
    roster = claimed(run.files["roster.json"])
    logs = [vkey(OWN, roster["aggregator"])]
    logs += [vkey(f"site/{one['site']}", one["key"]) for one in roster["members"]]
    witnesses = [
        f"witness {one['site']} {vkey(witness_name(one['site']), one['witness'], is_witness=True)}"
        for one in roster["members"]
    ]
    names = " ".join(one["site"] for one in roster["members"])
    lines = [*(f"log {one}" for one in logs), *witnesses, f"group all-sites 2 {names}"]
    return "\n".join([*lines, "quorum all-sites"])


@pytest.mark.parametrize("reason", ["planned", "compromised"])
def test_a_policy_of_before_follows_a_planned_replacement_and_no_other(
    tmp_path: Path, reason: str
) -> None:
    study = addressed(tmp_path)
    study.conducted()
    policy = policy_of(apart(study))
    rotated(study, is_compromised=reason == "compromised")
    with opened(study.aggregator) as federation:
        service_replaced(federation)
    study.conducted()
    run = apart(study)
    findings = held(repacked(run.files), tmp_path, policy)
    told = {one.log for one in findings.remarks if "replaced as planned since" in one.found}
    east = {EAST, witness_name("east")}
    if reason == "planned":
        assert findings.faults == []
        assert told == {OWN, *east}
        assert held(repacked(run.files), tmp_path, policy_of(run)).faults == []
    else:
        stolen = {one.log for one in findings.faults if "replaced as stolen since" in one.found}
        assert (told, stolen) == ({OWN}, east)


def test_a_policy_that_names_no_key_of_the_log_is_none(changed: Changed, tmp_path: Path) -> None:
    run, _, _ = changed
    policy = "\n".join(policy_of(run).splitlines()[1:])
    with pytest.raises(PolicyUnfit, match="it names no key of the log t/aggregator"):
        held(repacked(run.files), tmp_path, policy)


def test_events_under_no_head_of_their_owner_are_found(tmp_path: Path) -> None:
    """The aggregator may list anything; only the site signs its own log."""
    study = made(tmp_path)
    study.conducted()
    run = apart(study)
    lines = run.lines(EAST)
    own = run.files[FOLDERS[EAST] + "heads/own"]
    invented = _renumbered(lines[-1], len(lines))
    files = run.rewritten(EAST, [*lines, invented]) | {FOLDERS[EAST] + "heads/own": own}
    findings = held(repacked(run.listed(files)), tmp_path)
    assert (EAST, len(lines)) in {(one.log, one.index) for one in findings.faults}


def test_the_log_of_a_revoked_site_still_tells_and_its_key_signs_nothing_more(
    tmp_path: Path,
) -> None:
    study = made(tmp_path)
    study.conducted()
    with opened(study.aggregator) as federation:
        federation.revoke("west")
    run = apart(study)
    assert held(repacked(run.files), tmp_path).faults == []
    key = run.keys["site/west"]
    forged = signed_head(TreeHead("site/west", 3, b"\7" * 32), key)
    name = FOLDERS["site/west"] + "heads/other"
    findings = held(repacked(run.listed(run.files | {name: forged.encode()})), tmp_path)
    assert findings.faults == []
    assert any(one.log == name for one in findings.remarks)
