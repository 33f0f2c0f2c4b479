"""What the journal counts beside the ledger: replies that no charge paid for."""

import pytest

from hospital_node.privacy.uncharged import said, uncharged
from schemas.audit.events import Facts, ReplySent, RequestReceived, Reserved, Settled
from schemas.names import digest_of
from schemas.privacy import Spend
from tests.hospital_node.privacy.accounts import DELTA, entry


def reserved(name: str) -> Reserved:
    one = entry(name)
    spent = Spend(delta=DELTA, rdp=1.0, pld=0.9)
    return Reserved(
        request=name, part=one.part, event=one.event, max_norm=one.max_norm, spent=spent
    )


def sent(name: str, reply: bytes, *, trained: bool = True) -> ReplySent:
    arrays = digest_of(b"arrays") if trained else None
    return ReplySent(
        run="run-1",
        round=1,
        request=name,
        artefact="update" if trained else "histogram",
        reply=digest_of(reply),
        arrays=arrays,
        size_bytes=1,
    )


def asked(name: str) -> RequestReceived:
    return RequestReceived(
        run="run-1",
        round=1,
        request=name,
        purpose="train",
        arrays=digest_of(b"model"),
        repeated=False,
    )


STORIES: dict[str, tuple[list[Facts], tuple[int, int]]] = {
    "nothing": ([], (0, 0)),
    "an update without privacy": ([sent("a", b"a")], (1, 0)),
    "an update without privacy that stays for a masked sum": (
        [asked("a"), sent("a", b"a", trained=False)],
        (1, 0),
    ),
    "an evaluation without privacy": ([sent("a", b"a", trained=False)], (0, 1)),
    "a charged release": ([reserved("a"), sent("a", b"a")], (0, 0)),
    "told twice around a crash": ([reserved("a"), reserved("a"), sent("a", b"a")], (0, 0)),
    "a charge that nothing came of": ([reserved("a")], (0, 0)),
    "the same bytes again": ([sent("a", b"a"), sent("a", b"a")], (1, 0)),
    "charged bytes again": ([reserved("a"), sent("a", b"a"), sent("a", b"a")], (0, 0)),
    "another release under a paid request's name": (
        [
            reserved("a"),
            sent("a", b"a"),
            Settled(request="a", outcome="committed"),
            sent("a", b"b", trained=False),
        ],
        (0, 1),
    ),
    "without privacy before it was paid": (
        [sent("a", b"b"), reserved("a"), sent("a", b"a")],
        (1, 0),
    ),
    "both kinds": ([sent("a", b"a"), reserved("b"), sent("b", b"b"), sent("c", b"c")], (2, 0)),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_reply_that_no_charge_paid_for_is_counted_once(story: str) -> None:
    claims, (train, validation) = STORIES[story]
    assert uncharged(claims) == {"train": train, "validation": validation}


def test_it_is_said_only_where_there_is_something_to_say() -> None:
    assert not said({"train": 0, "validation": 0})
    assert said({"train": 3, "validation": 1}).startswith("4 releases left WITHOUT PRIVACY")
