"""Keys that were replaced, stolen or have expired, and whoever would replace them for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import aggregator.cli
from aggregator.federation import opened as opened_federation
from aggregator.rotation import read_rotation
from hospital_node.enrolment import install
from hospital_node.node import opened as opened_node
from hospital_node.rotation import rotation
from schemas.audit.events import Facts, KeyReplaced, Quarantined, RefusalReceived, ReplyReceived
from schemas.audit.lines import read_facts
from schemas.command_line import run
from schemas.enrolment import EnrolmentRequest, KeyRotation, Roster, fingerprint_of
from schemas.errors import EnvelopeRefused
from schemas.names import digest_of
from schemas.wire.envelope import opened, signed
from schemas.wire.keys import SigningKey
from tests.desk import ONE_ROUND
from tests.study import SITES, Study, command, conducting, made

ADDRESS = "127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Pair:
    """An aggregator and one hospital, enrolled by files."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "agg"

    @property
    def node(self) -> Path:
        return self.folder / "north"

    def aggregate(self, *words: object, expect: int = 0) -> None:
        assert run(aggregator.cli.app, [str(one) for one in words]) == expect

    def request(self, name: str = "r.json") -> Path:
        out = self.folder / name
        command("enrol", "rotate", "--home", self.node, "--out", out)
        return out

    def approved(self, request: Path, *options: str, expect: int = 0) -> Path:
        out = self.folder / "answer.json"
        heard = ("--digest", digest_of(request.read_bytes()))
        words = ("roster", "rotate", request, *heard, "--home", self.home, "--out", out)
        self.aggregate(*words, *options, expect=expect)
        return out

    def roster(self) -> Roster:
        with opened_federation(self.home) as federation:
            return federation.roster()

    def facts(self, home: Path) -> list[Facts]:
        return list(read_facts(home / "journal", KeyReplaced))

    def key(self) -> str:
        return SigningKey.load(self.node / "keys" / "signing").public


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return enrolled_pair(tmp_path)


def enrolled_pair(folder: Path) -> Pair:
    one = Pair(folder)
    one.aggregate("init", "--home", one.home, "--name", "t", "--address", ADDRESS)
    root = SigningKey.load(one.home / "keys" / "root").public
    named = ("--aggregator", ADDRESS, "--fingerprint", fingerprint_of(root))
    command("init", "--home", one.node, "--site", "north", *named)
    request, answer = folder / "request.json", folder / "answer.json"
    command("enrol", "request", "--home", one.node, "--out", request)
    heard = ("--digest", digest_of(request.read_bytes()))
    one.aggregate("enrol", "approve", request, *heard, "--home", one.home, "--out", answer)
    command("enrol", "install", answer, "--home", one.node)
    return one


@pytest.mark.parametrize("compromised", [(), ("--compromised",)])
def test_a_request_with_another_digest_than_was_heard_replaces_no_key(
    pair: Pair, capsys: pytest.CaptureFixture[str], compromised: tuple[str, ...]
) -> None:
    """Whoever stole the key signs a request of their own; the hospital read out none like it."""
    theirs, answer = pair.request(), pair.folder / "other.json"
    before, heard = pair.roster(), digest_of(b"the hospital's own request")
    words = ("roster", "rotate", theirs, "--home", pair.home, "--out", answer, *compromised)
    pair.aggregate(*words, "--digest", heard, expect=2)
    assert f"and {heard} was heard" in capsys.readouterr().err
    pair.aggregate(*words, expect=2)
    assert "--digest" in capsys.readouterr().err
    request = pair.folder / "request.json"
    again = ("enrol", "approve", request, "--home", pair.home, "--out", answer)
    pair.aggregate(*again, "--digest", heard, expect=2)
    assert not answer.exists()
    assert pair.roster() == before


def test_a_key_is_replaced_in_both_logs_and_the_old_ones_word_still_stands(pair: Pair) -> None:
    old = pair.key()
    command("enrol", "install", pair.approved(pair.request()), "--home", pair.node)
    member = pair.roster().member("north")
    assert member is not None
    assert member.signers == (pair.key(), old)
    [noted] = pair.facts(pair.home)
    assert pair.facts(pair.node) == [noted]
    assert isinstance(noted, KeyReplaced)
    assert (noted.party, noted.old, noted.new, noted.reason) == (
        "north",
        old,
        pair.key(),
        "planned",
    )
    assert not list((pair.node / "keys" / "next").iterdir())
    command("audit", "verify", "--home", pair.node)
    pair.aggregate("audit", "verify", "--home", pair.home)


def test_a_compromised_key_is_revoked_and_never_comes_back(pair: Pair) -> None:
    old = pair.key()
    command("enrol", "install", pair.approved(pair.request(), "--compromised"), "--home", pair.node)
    roster = pair.roster()
    assert old in roster.gone()
    member = roster.member("north")
    assert member is not None
    assert member.signers == (pair.key(),)
    assert [one.reason for one in pair.facts(pair.node) if isinstance(one, KeyReplaced)] == [
        "compromised"
    ]
    command("audit", "verify", "--home", pair.node)
    with opened_federation(pair.home) as federation, pytest.raises(EnvelopeRefused):
        federation.enrol("south", old, SigningKey.generate().public)


def test_nobody_but_the_owner_of_the_old_key_can_replace_it(pair: Pair) -> None:
    mine = SigningKey.generate()
    roster = pair.roster()
    with opened_node(pair.node) as node:
        content = rotation(node)
        asked = opened(content, KeyRotation, key=node.key.public)
    with pytest.raises(EnvelopeRefused, match="not of the expected key"):
        read_rotation(roster, signed(asked, mine))
    forged = asked.model_copy(update={"site": "south"})
    with pytest.raises(EnvelopeRefused, match="south has not joined"):
        read_rotation(roster, signed(forged, mine))
    with pytest.raises(EnvelopeRefused, match="holds no request"):
        read_rotation(roster, b"{}")


def test_the_owner_of_a_key_can_replace_no_other_and_bring_no_other_sites(pair: Pair) -> None:
    roster = pair.roster()
    with opened_node(pair.node) as node:
        asked = opened(rotation(node), KeyRotation, key=node.key.public)
        new = SigningKey.load(node.home.next_keys / node.home.signing_key.name)
        theirs = opened(asked.request.encode(), EnrolmentRequest, key=new.public)
        theirs = theirs.model_copy(update={"site": "south"})
        changes = (
            {"replaces": SigningKey.generate().public},
            {"request": signed(theirs, new).decode()},
        )
        for change in changes:
            forged = signed(asked.model_copy(update=change), node.key)
            with pytest.raises(EnvelopeRefused, match="it replaces another key, or brings keys of"):
                read_rotation(roster, forged)
        assert read_rotation(roster, signed(asked, node.key)).member == roster.member("north")


def test_a_replaced_key_cannot_be_brought_in_again(pair: Pair) -> None:
    request = pair.request()
    command("enrol", "install", pair.approved(request), "--home", pair.node)
    serial = pair.roster().serial
    pair.approved(request, expect=EnvelopeRefused.exit_status)
    assert pair.roster().serial == serial


@pytest.mark.parametrize("moved", [(), ("witness",), ("witness", "transport")])
def test_a_crash_while_keys_are_moved_is_brought_to_its_end(
    pair: Pair, moved: Sequence[str]
) -> None:
    answer = pair.approved(pair.request())
    keys, waiting = pair.node / "keys", pair.node / "keys" / "next"
    before = {one: (waiting / one).read_bytes() for one in ("signing", "witness", "transport")}
    olds = {one: (keys / one).read_bytes() for one in before}
    command("enrol", "install", answer, "--home", pair.node)
    for name, content in before.items():  # as a crash before the last rename leaves it
        if name not in moved:
            (keys / name).write_bytes(olds[name])
            (waiting / name).write_bytes(content)
            (waiting / name).chmod(0o600)
    with opened_node(pair.node) as node:
        assert {one: (keys / one).read_bytes() for one in before} == before
        assert node.membership()[1].member("north") is not None
    command("audit", "verify", "--home", pair.node)


def test_an_answer_that_was_not_asked_for_changes_no_key(pair: Pair) -> None:
    answer = pair.approved(pair.request())
    for path in (pair.node / "keys" / "next").iterdir():
        path.unlink()
    old = pair.key()
    with opened_node(pair.node) as node, pytest.raises(EnvelopeRefused, match="another key"):
        install(node, answer.read_bytes())
    assert pair.key() == old


def test_the_service_key_is_replaced_and_the_nodes_follow_with_the_next_request(
    tmp_path: Path,
) -> None:
    study = made(tmp_path)
    with conducting(study) as (_, conducted, seen):
        conducted()
    first = len([one for one in seen if isinstance(one, ReplyReceived)])
    replaced_service(study)
    with conducting(study) as (embedded, conducted, seen):
        conducted()
        assert not [one for one in seen if isinstance(one, RefusalReceived)]
        assert len([one for one in seen if isinstance(one, ReplyReceived)]) == first
        for node in embedded.nodes.values():
            assert node.membership()[1].aggregator == embedded.federation.key.public
    words = ["audit", "verify", "--home", str(study.aggregator)]
    assert run(aggregator.cli.app, words) == 0


def replaced_service(study: Study) -> None:
    home = study.aggregator
    before = (home / "keys" / "service").read_bytes()
    words = ["roster", "rotate-service", "--home", str(home)]
    assert run(aggregator.cli.app, words) == 0
    assert (home / "keys" / "service").read_bytes() != before


def test_a_crash_while_the_service_key_is_replaced_is_brought_to_its_end(tmp_path: Path) -> None:
    study = made(tmp_path)
    keys = study.aggregator / "keys"
    old = (keys / "service").read_bytes()
    replaced_service(study)
    (keys / "service").rename(keys / "service.next")
    (keys / "service").write_bytes(old)
    (keys / "service").chmod(0o600)
    with opened_federation(study.aggregator) as federation:
        assert federation.key.public == federation.roster().aggregator


def test_an_expired_key_is_not_believed(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    with opened_federation(study.aggregator) as federation:
        for site in SITES:
            keys = study.nodes[site] / "keys"
            key, witness = (SigningKey.load(keys / one).public for one in ("signing", "witness"))
            until = "2026-01-01T00:00:00.000Z" if site == "west" else None
            federation.enrol(site, key, witness, until=until)
    with conducting(study) as (_, conducted, seen):
        conducted()
    assert {one.site for one in seen if isinstance(one, ReplyReceived)} == {"east", "north"}
    reasons = {one.reason for one in seen if isinstance(one, Quarantined)}
    assert reasons == {"reply refused: the site's key expired at 2026-01-01T00:00:00.000Z"}


def test_the_name_of_a_revoked_site_is_not_given_again_and_its_log_stays(tmp_path: Path) -> None:
    study = made(tmp_path, **ONE_ROUND)
    with conducting(study) as (_, conducted, _):
        conducted()
    with opened_federation(study.aggregator) as federation:
        before = federation.log_of("west").size
        assert before
        federation.revoke("west")
        new = [SigningKey.generate().public for _ in range(4)]
        with pytest.raises(EnvelopeRefused, match="west was revoked, and its log ended") as found:
            federation.enrol("west", new[0], new[1])
        assert "another site name" in found.value.next_step
        federation.enrol("west-2", new[2], new[3])
        assert federation.log_of("west").size == before
        assert federation.log_of("west-2").size == 0
