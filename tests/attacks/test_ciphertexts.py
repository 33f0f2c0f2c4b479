"""A hospital whose ciphertexts cannot be added up, or that says so of another's."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from schemas.audit.events import Facts, Quarantined, RefusalReceived, SumLost, SumOpened
from schemas.errors import InputRefused, QuorumLost
from schemas.names import SiteName, digest_of
from schemas.protection import ciphertexts
from schemas.protection.messages import Ciphertexts, Settlement, framed
from schemas.update import Refusal
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.packet import Packet
from tests.encrypted import ENCRYPTED
from tests.masked import FOUR, begun, made_of_four
from tests.study import Direct
from tests.tapped import round_before

THREE = ("east", "north", "south")


@dataclass
class Told:
    """What a run said, read by kind."""

    seen: list[Facts] = field(default_factory=list)

    def lost(self) -> list[tuple[int, str, int]]:
        found = [one for one in self.seen if isinstance(one, SumLost)]
        return [(one.attempt, one.exchange, one.left) for one in found]

    def left_out(self) -> list[tuple[SiteName | None, str]]:
        return [(one.site, one.check) for one in self.seen if isinstance(one, Quarantined)]

    def blamed(self) -> dict[SiteName, SiteName | None]:
        return {one.site: one.faulty for one in self.seen if isinstance(one, RefusalReceived)}

    def opened(self) -> list[tuple[int, tuple[SiteName, ...]]]:
        found = [one for one in self.seen if isinstance(one, SumOpened)]
        return [(one.attempt, tuple(sorted(one.survivors))) for one in found]


def sending(embedded: EmbeddedFederation, *, body: bytes) -> Direct:
    """Have west sign other bytes as its ciphertexts."""

    def tamper(site: SiteName, reply: Packet) -> Packet:
        if site != "west" or kind_of(reply.envelope) != Ciphertexts.__name__:
            return reply
        key = embedded.nodes[site].key
        found = opened(reply.envelope, Ciphertexts, key=key.public)
        lie = found.model_copy(update={"arrays": digest_of(body)})
        return replace(reply, envelope=signed(lie, key), body=body)

    return Direct(embedded.nodes).tampering(tamper)


def refusing(embedded: EmbeddedFederation, *sites: SiteName, faulty: SiteName | None) -> Direct:
    """Have sites that settled say that they did not."""

    def tamper(site: SiteName, reply: Packet) -> Packet:
        if site not in sites or kind_of(reply.envelope) != Settlement.__name__:
            return reply
        key = embedded.nodes[site].key
        found = opened(reply.envelope, Settlement, key=key.public)
        named = found.model_dump(include={"federation", "run", "plan", "round", "request"})
        said = Refusal(**named, site=site, head=found.head, code="request-invalid", faulty=faulty)
        return replace(reply, envelope=signed(said, key), body=b"")

    return Direct(embedded.nodes).tampering(tamper)


def conducted(told: Told, run: str, *exchanges: Direct, embedded: EmbeddedFederation) -> None:
    """Conduct a run, and resume it with each further exchange; all but the last lose a round."""
    for exchange in exchanges[:-1]:
        with pytest.raises(QuorumLost, match="0 usable updates came"):
            conduct(embedded.federation, run, exchange, told.seen.append)
    conduct(embedded.federation, run, exchanges[-1], told.seen.append)


WRONG: dict[str, bytes] = {
    "one byte": b"x",
    "none": b"",
    "one for two": framed([bytes(ciphertexts.LEAST_BYTES)]),
    "one too long": framed([bytes(ciphertexts.LEAST_BYTES), bytes(ciphertexts.MOST_BYTES + 1)]),
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_ciphertexts_of_another_size_are_named_and_never_handed_on(
    tmp_path: Path, body: bytes
) -> None:
    told = Told()
    with begun(made_of_four(tmp_path, **ENCRYPTED)) as (embedded, run):
        conducted(told, run, sending(embedded, body=body), embedded=embedded)
    assert ("west", "exchange") in told.left_out()
    assert told.opened() == [(1, THREE)]


def test_ciphertexts_that_nobody_can_add_up_cost_one_attempt_and_name_their_site(
    tmp_path: Path,
) -> None:
    told = Told()
    malformed = framed([bytes(ciphertexts.LEAST_BYTES)] * 2)
    with begun(made_of_four(tmp_path, **ENCRYPTED)) as (embedded, run):
        exchange = sending(embedded, body=malformed)
        conducted(told, run, exchange, exchange, embedded=embedded)
    assert told.lost() == [(1, "settle", 0)]
    assert {site: told.blamed()[site] for site in THREE} == dict.fromkeys(THREE, "west")
    assert told.left_out() == [("west", "ciphertexts")]
    assert told.opened() == [(2, THREE)]


def test_one_hospital_cannot_have_another_left_out(tmp_path: Path) -> None:
    told = Told()
    with begun(made_of_four(tmp_path, **ENCRYPTED)) as (embedded, run):
        exchange = refusing(embedded, "west", faulty="north")
        conducted(told, run, exchange, embedded=embedded)
    assert told.blamed() == {"west": "north"}
    assert told.left_out() == []
    assert told.opened() == [(1, FOUR)]


def test_no_attempt_follows_one_that_enough_sites_may_have_settled(tmp_path: Path) -> None:
    told = Told()
    with begun(made_of_four(tmp_path, **ENCRYPTED)) as (embedded, run):
        two = refusing(embedded, "north", "west", faulty=None)
        conducted(told, run, two, two, Direct(embedded.nodes), embedded=embedded)
    assert told.lost() == [(1, "settle", 2)] * 2
    assert told.opened() == [(1, FOUR)]


def test_sites_that_settled_give_to_no_other_sum_whatever_was_said_of_it(tmp_path: Path) -> None:
    told = Told()
    with begun(made_of_four(tmp_path, **ENCRYPTED)) as (embedded, run):
        lying = refusing(embedded, *THREE, faulty="west")
        for exchange in (lying, Direct(embedded.nodes)):
            with pytest.raises(QuorumLost, match="0 usable updates came"):
                conduct(embedded.federation, run, exchange, told.seen.append)
    assert told.lost() == [(1, "settle", 1), (2, "announce", 0)]
    assert told.opened() == []


def limited(monkeypatch: pytest.MonkeyPatch) -> str:
    """Allow less than the study's ciphertexts have; return what a refusal says."""
    monkeypatch.setattr(ciphertexts, "MOST_SETTLED_BYTES", 2**20)
    return "each site would be handed 2 MiB of ciphertexts of 4 sites, at most 1 MiB are allowed"


def test_a_plan_of_more_ciphertexts_than_a_site_may_be_handed_never_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made_of_four(tmp_path, **ENCRYPTED)
    with study.opened() as embedded:
        reason = limited(monkeypatch)
        with pytest.raises(InputRefused, match=reason):
            study.started(embedded.federation)


def test_a_node_encrypts_nothing_for_a_plan_of_too_many_ciphertexts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with round_before(tmp_path, "encrypt", ENCRYPTED) as attacked:
        attacked.refused(limited(monkeypatch))


def key_boxes(size: int) -> Callable[[SiteName], bytes]:
    return lambda _: bytes(size)


@pytest.mark.parametrize(
    ("size", "is_right"),
    [
        (3 * ciphertexts.LEAST_KEY_BYTES, True),
        (3 * ciphertexts.MOST_KEY_BYTES, True),
        (3 * ciphertexts.LEAST_KEY_BYTES - 3, False),
        (3 * ciphertexts.MOST_KEY_BYTES + 3, False),
        (3 * ciphertexts.LEAST_KEY_BYTES + 1, False),
        (0, False),
    ],
)
def test_sealed_keys_have_the_length_of_a_key(size: int, *, is_right: bool) -> None:
    assert ciphertexts.are_boxes(bytes(size), 3) == is_right
