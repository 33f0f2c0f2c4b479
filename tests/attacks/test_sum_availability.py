"""One hospital that sends what no masked sum can use: the others' sum opens, and it is named."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from aggregator.audit.bundle import bundled
from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from schemas.audit.events import Facts, Quarantined, RefusalReceived, SumOpened
from schemas.errors import QuorumLost
from schemas.names import SiteName, digest_of
from schemas.protection.agreement import PublicKeys
from schemas.protection.messages import Advert, Boxes, Unmasking
from schemas.protection.shamir import SHARE_BYTES
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.packet import Packet
from tests.bundles import understood
from tests.masked import FOUR, MASKED, begun, made_of_four
from tests.schemas.protection.test_agreement import flipped
from tests.study import Direct

Showing = Callable[[PublicKeys, PublicKeys], dict[str, str]]

ADVERTS: dict[str, tuple[Showing, str]] = {
    "another's keys": (lambda _, first: first.model_dump(), "keys"),
    "another's cipher key as its mask key": (lambda _, first: {"mask": first.cipher}, "keys"),
    "another's mask key, spelled otherwise": (
        lambda _, first: {"mask": flipped(first.mask)},
        "envelope",
    ),
    "a cipher key of small order": (lambda _own, _first: {"cipher": "00" * 32}, "envelope"),
}


@dataclass
class West:
    """West, which shows other keys than its own."""

    embedded: EmbeddedFederation
    changed: Showing
    first: list[PublicKeys] = field(default_factory=list)

    def __call__(self, site: SiteName, reply: Packet) -> Packet:
        if kind_of(reply.envelope) != Advert.__name__:
            return reply
        key = self.embedded.nodes[site].key
        advert = opened(reply.envelope, Advert, key=key.public)
        self.first.append(advert.keys)
        if site != "west":
            return reply
        changes = self.changed(advert.keys, self.first[0])
        keys = PublicKeys.model_construct(**(advert.keys.model_dump() | changes))
        return replace(reply, envelope=signed(advert.model_copy(update={"keys": keys}), key))


@pytest.mark.parametrize(("changed", "check"), ADVERTS.values(), ids=ADVERTS)
def test_keys_that_no_site_could_use_leave_out_their_site_alone(
    tmp_path: Path, changed: Showing, check: str
) -> None:
    seen = list[Facts]()
    with begun(made_of_four(tmp_path, **MASKED)) as (embedded, name):
        west = West(embedded, changed)
        conduct(embedded.federation, name, Direct(embedded.nodes).tampering(west), seen.append)
    (summed,) = (one for one in seen if isinstance(one, SumOpened))
    assert sorted(summed.survivors) == sorted(set(FOUR) - {"west"})
    assert [(one.site, one.check) for one in seen if isinstance(one, Quarantined)] == [
        ("west", check)
    ]


def test_a_hospital_that_tells_wrong_shares_spoils_no_sum_and_is_named(tmp_path: Path) -> None:
    seen = list[Facts]()
    with begun(made_of_four(tmp_path, **MASKED)) as (embedded, name):

        def lying(site: SiteName, reply: Packet) -> Packet:
            if site != "east" or kind_of(reply.envelope) != Unmasking.__name__:
                return reply
            key = embedded.nodes[site].key
            told = opened(reply.envelope, Unmasking, key=key.public)
            body = bytes(
                one ^ (place % SHARE_BYTES == SHARE_BYTES - 1)
                for place, one in enumerate(reply.body)
            )
            altered = told.model_copy(update={"arrays": digest_of(body)})
            return replace(reply, envelope=signed(altered, key), body=body)

        exchange = Direct(embedded.nodes).tampering(lying)
        conduct(embedded.federation, name, exchange, seen.append)
        bundle = bundled(embedded.federation.home, name)
    (summed,) = (one for one in seen if isinstance(one, SumOpened))
    assert tuple(sorted(summed.survivors)) == FOUR
    (found,) = (one for one in seen if isinstance(one, Quarantined))
    assert (found.site, found.check) == ("east", "shares")
    assert "what east told of" in found.reason
    findings, _ = understood(bundle, tmp_path)
    # East's log has the reply that this test replaced; for the rest the run verifies.
    (fault,) = findings.faults
    assert "from east, whose log never sent it" in fault.found


def test_a_hospital_whose_boxes_do_not_open_is_named_and_left_out(tmp_path: Path) -> None:
    seen = list[Facts]()
    with begun(made_of_four(tmp_path, **MASKED)) as (embedded, name):

        def sealing_nothing(site: SiteName, reply: Packet) -> Packet:
            if site != "west" or kind_of(reply.envelope) != Boxes.__name__:
                return reply
            key, body = embedded.nodes[site].key, bytes(len(reply.body))
            boxes = opened(reply.envelope, Boxes, key=key.public)
            altered = boxes.model_copy(update={"arrays": digest_of(body)})
            return replace(reply, envelope=signed(altered, key), body=body)

        exchange = Direct(embedded.nodes).tampering(sealing_nothing)
        with pytest.raises(QuorumLost, match="abandoned"):
            conduct(embedded.federation, name, exchange, seen.append)
        conduct(embedded.federation, name, exchange, seen.append)
    refusals = {one.site: one.faulty for one in seen if isinstance(one, RefusalReceived)}
    assert refusals == dict.fromkeys(("east", "north", "south"), "west")
    assert [(one.site, one.check) for one in seen if isinstance(one, Quarantined)] == [
        ("west", "boxes")
    ]
    (summed,) = (one for one in seen if isinstance(one, SumOpened))
    assert sorted(summed.survivors) == ["east", "north", "south"]
