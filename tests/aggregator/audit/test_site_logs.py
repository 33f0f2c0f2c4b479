"""What a site's log takes in: events of that log alone, each on one line, in order."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from aggregator.audit.logs import EVENTS, SiteLog
from schemas.audit.exchange import Shared
from schemas.audit.merkle import grown
from schemas.audit.notes import TreeHead, signed_head
from schemas.enrolment import Member
from schemas.errors import JournalDamaged
from schemas.wire.keys import SigningKey

KEY, WITNESS = SigningKey.generate(), SigningKey.generate()
WEST = Member(site="west", key=KEY.public, witness=WITNESS.public, since="2026-11-20T00:00:00.000Z")


def event(sequence: object, **changes: Any) -> str:
    """Write one event as a site stores it."""
    told: dict[str, Any] = {
        "facts": {"kind": "of-a-later-version"},
        "origin": "site/west",
        "sequence": sequence,
        "time": "2026-11-20T00:00:00.000Z",
    }
    return rfc8785.dumps(told | changes).decode()


def shared(*events: str) -> Shared:
    """Share these lines under a head that the site signed over them."""
    head = TreeHead("site/west", len(events), grown(one.encode() for one in events).root())
    return Shared(first=0, events=events, head=signed_head(head, KEY), cosignature=None)


@pytest.mark.parametrize(
    "second",
    [
        event(1) + "\n" + event(2),
        "\n",
        "\x1b[2J",
        "[" * 100_000,
        "5",
        "[]",
        "{}",
        json.dumps(json.loads(event(1))),
        event(2),
        event("1"),
        event(sequence=True),
        event(1, origin="site/east"),
        event(1, time=5),
    ],
    ids=[str(number) for number in range(13)],
)
def test_a_line_that_is_no_event_of_this_log_is_not_taken_in(tmp_path: Path, second: str) -> None:
    log = SiteLog(tmp_path)
    with pytest.raises(JournalDamaged, match="a line that is not event 1 of this log"):
        log.take(shared(event(0), second), WEST)
    assert log.size == 0
    assert not (tmp_path / EVENTS).exists()
    assert log.take(shared(event(0), event(1)), WEST) is None
    assert SiteLog(tmp_path).size == 2
