"""Ledger and journal as stories: which pairs are of one state, and which were put back."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from hospital_node.privacy.consistency import hold_charges, hold_head, hold_ledger
from hospital_node.privacy.ledger import Entry, Row, Status
from schemas.audit.events import Facts, ReplySent, Reserved, Settled
from schemas.audit.journal import Journal
from schemas.errors import EnvelopeRefused, LedgerDamaged
from schemas.privacy import Spend
from schemas.wire.keys import SigningKey
from tests.hospital_node.privacy.accounts import DELTA, DIGEST, ROUND, entry

SPEND = Spend(delta=DELTA, rdp=1.0, pld=0.9)
KEY = SigningKey.generate()


def rows(*moves: tuple[str, Status]) -> list[Row]:
    return [
        Row(sequence=place, status=status, entry=entry(name), spend=SPEND)
        for place, (name, status) in enumerate(moves, start=1)
    ]


def reserved(name: str, **changes: object) -> Reserved:
    one: Entry = entry(name)
    whole = Reserved(
        request=name, part=one.part, event=one.event, max_norm=one.max_norm, spent=SPEND
    )
    return whole.model_copy(update=changes)


def settled(name: str, outcome: str) -> Settled:
    return Settled.model_validate({"request": name, "outcome": outcome})


def sent(name: str) -> ReplySent:
    return ReplySent(
        run="run-1",
        round=1,
        request=name,
        artefact="histogram",
        reply=DIGEST,
        arrays=None,
        size_bytes=1,
    )


WHOLE: dict[str, tuple[list[Row], list[Facts]]] = {
    "nothing yet": ([], []),
    "reserved, and the journal does not know yet": (rows(("a", "reserved")), []),
    "reserved": (rows(("a", "reserved")), [reserved("a")]),
    "reserved, told twice around a crash": (rows(("a", "reserved")), [reserved("a")] * 2),
    "told in another order": (
        rows(("a", "reserved"), ("b", "reserved")),
        [reserved("b"), reserved("a")],
    ),
    "the reply left, and is not final yet": (
        rows(("a", "reserved")),
        [reserved("a"), sent("a")],
    ),
    "final, and the journal does not know yet": (
        rows(("a", "reserved"), ("a", "committed")),
        [reserved("a"), sent("a")],
    ),
    "final": (
        rows(("a", "reserved"), ("a", "committed")),
        [reserved("a"), sent("a"), settled("a", "committed")],
    ),
    "voided and reserved again": (
        rows(("a", "reserved"), ("a", "voided"), ("a", "reserved")),
        [reserved("a"), settled("a", "voided"), reserved("a")],
    ),
    "a reply without a charge": ([], [sent("a")]),
}
APART: dict[str, tuple[list[Row], list[Facts], str]] = {
    "the ledger was put back to nothing": ([], [reserved("a")], "does not have"),
    "the ledger lacks the last charge": (
        rows(("a", "reserved")),
        [reserved("a"), reserved("b")],
        "does not have",
    ),
    "another charge under the same name": (
        rows(("a", "reserved")),
        [reserved("a", event=ROUND.model_copy(update={"steps": 2}))],
        "does not have",
    ),
    "another part": (rows(("a", "reserved")), [reserved("a", part="validation")], "not have"),
    "the ledger was put back to before the end": (
        rows(("a", "reserved")),
        [reserved("a"), sent("a"), settled("a", "committed")],
        "was committed",
    ),
    "the second charge of a voided request is gone": (
        rows(("a", "reserved"), ("a", "voided")),
        [reserved("a"), settled("a", "voided"), reserved("a")],
        "was reserved",
    ),
    "the journal was put back": (
        rows(("a", "reserved"), ("a", "committed")),
        [reserved("a")],
        "whose reply the journal does not know",
    ),
}


@pytest.mark.parametrize("story", WHOLE)
def test_what_a_crash_can_leave_is_of_one_state(story: str) -> None:
    hold_ledger(*WHOLE[story])


@pytest.mark.parametrize("story", APART)
def test_what_only_an_older_file_explains_is_refused(story: str) -> None:
    kept, claims, found = APART[story]
    with pytest.raises(LedgerDamaged, match=found) as refused:
        hold_ledger(kept, claims)
    assert refused.value.message.startswith("ledger refused: found a ")
    assert "restore ledger, journal and replies together" in refused.value.next_step


def test_a_reader_beside_an_owner_may_see_a_ledger_ahead_of_its_journal() -> None:
    ahead = rows(("a", "reserved"), ("a", "committed"))
    assert hold_charges(ahead, [reserved("a"), sent("a")]) == {"a"}
    assert hold_charges(ahead, []) == set()


def journal(folder: Path, names: Iterable[str]) -> Journal:
    log = Journal(folder, origin="site/east", key=KEY, clock=lambda: "2026-11-20T09:08:07.006Z")
    for name in names:
        log.append(reserved(name))
    return log


def test_a_journal_that_grew_from_its_signed_head_is_the_newest(tmp_path: Path) -> None:
    log = journal(tmp_path, "abc")
    heads = [log.head()]
    for name in "defg":
        log.append(reserved(name))
        heads.append(log.head())
    for head in heads:
        hold_head(log, head, origin="site/east", key=KEY.public)
    log.close()


def test_a_smaller_journal_than_the_signed_one_was_put_back(tmp_path: Path) -> None:
    newer, older = journal(tmp_path / "new", "abcd"), journal(tmp_path / "old", "abc")
    with pytest.raises(LedgerDamaged, match="fewer than the 4 events that it signed before"):
        hold_head(older, newer.head(), origin="site/east", key=KEY.public)
    newer.close()
    older.close()


def test_a_copy_that_went_its_own_way_is_another_journal(tmp_path: Path) -> None:
    here, copy = journal(tmp_path / "here", "abcd"), journal(tmp_path / "copy", "abxyz")
    with pytest.raises(LedgerDamaged, match="another journal than the one whose 4 events"):
        hold_head(copy, here.head(), origin="site/east", key=KEY.public)
    here.close()
    copy.close()


def test_a_head_that_this_journal_never_signed_is_the_aggregators_fault(tmp_path: Path) -> None:
    log = journal(tmp_path, "a")
    for note in (log.head().replace("east", "west"), log.head().replace("\n1\n", "\n2\n"), "x"):
        with pytest.raises(EnvelopeRefused, match="was not signed by this journal"):
            hold_head(log, note, origin="site/east", key=KEY.public)
    log.close()
