"""Private details are erased by age; the events stay and the log verifies."""

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from hospital_node.node import opened
from schemas.audit.erasure import erase
from schemas.audit.events import PrivateErased, Refused
from schemas.audit.journal import verified
from schemas.audit.lines import read_facts
from schemas.base import Record
from schemas.names import moment_of, now
from tests.study import command


class Reason(Record):
    """What stays at the hospital."""

    message: str


def written(home: Path, *days_ago: int) -> Path:
    """Make a home whose node refused once on each of these days."""
    command("init", "--home", home, "--site", "north")
    refused = Refused(run="r", round=1, request="r.1.train", code="unavailable")
    for days in days_ago:
        then = moment_of(datetime.fromisoformat(now()) - timedelta(days=days))
        with opened(home, clock=partial(str, then)) as node:
            node.journal.append(refused, private=Reason(message=f"{days} days ago"))
    return home / "journal"


def details(journal: Path) -> list[str]:
    contents = sorted(path.read_bytes()[32:] for path in (journal / "private").iterdir())
    return [Reason.from_canonical(one).message for one in contents]


def test_old_details_are_erased_and_every_event_stays(tmp_path: Path) -> None:
    journal = written(tmp_path / "home", 3000, 2000, 10)
    with opened(tmp_path / "home") as node:
        key = node.key.public
    words = ("audit", "erase", "--home", tmp_path / "home", "--approver", "A. Steward")
    command(*words)
    assert details(journal) == ["10 days ago", "2000 days ago"]
    command(*words, "--older-than", 183)
    assert details(journal) == ["10 days ago"]
    assert len(list(read_facts(journal, Refused))) == 3
    assert len(list(read_facts(journal, PrivateErased))) == 2
    assert verified(journal, origin="site/north", key=key).size > 3


@pytest.mark.parametrize("words", [("--older-than", 182), ("--approver", " ")])
def test_what_is_too_young_or_in_nobodys_name_is_refused(
    tmp_path: Path, words: tuple[object, ...]
) -> None:
    journal = written(tmp_path / "home", 400)
    start = ("audit", "erase", "--home", tmp_path / "home", "--approver", "A. Steward")
    command(*start, *words, expect=2)
    assert details(journal) == ["400 days ago"]
    assert list(read_facts(journal, PrivateErased)) == []


def test_a_log_without_details_has_nothing_to_erase(tmp_path: Path) -> None:
    journal = written(tmp_path / "home")
    assert erase(journal, before=now()) == 0
