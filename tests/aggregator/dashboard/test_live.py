"""A home is read as it grows, whoever owns it, and what does not fit is told."""

import os
from pathlib import Path

import pytest

from aggregator.dashboard.live import Live
from aggregator.dashboard.pages import federation_page, run_page
from schemas.audit.lines import EVENTS
from schemas.errors import HomeRefused, JournalDamaged
from schemas.files import owned
from tests.aggregator.audit import runs
from tests.aggregator.dashboard import homes


def test_what_is_appended_is_read_while_another_command_owns_the_home(tmp_path: Path) -> None:
    log = runs.private_run()
    home = homes.made(tmp_path / "home", log)
    live = Live.of(home.root)
    with owned(home.root), homes.journal_of(home) as journal:
        assert live.head().size == len(log.events) == len(live.tail.events)
        before = live.marks()
        log.open(resumed=True)
        journal.append(log.events[-1].facts)
        assert live.marks() != before
        assert live.head().size == len(log.events) - 1
        assert len(live.tail.events) == len(log.events)
        journal.seal()
        assert live.head().size == len(log.events)


def test_a_torn_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    log = runs.empty_run()
    home = homes.made(tmp_path / "home", log)
    path = home.journal / EVENTS
    content = path.read_bytes()
    cut = len(content) - 30
    live = Live.of(home.root)
    path.write_bytes(content[:cut])
    live.tail.grow()
    assert len(live.tail.leaves) == len(log.events) - 1
    path.write_bytes(content)
    assert live.head().size == len(log.events)


def test_lines_that_were_taken_back_are_forgotten(tmp_path: Path) -> None:
    log = runs.private_run()
    home = homes.made(tmp_path / "home", log)
    path, content = home.journal / EVENTS, (home.journal / EVENTS).read_bytes()
    lines = content.split(b"\n")[:-1]
    other = [*lines[:-1], lines[-1].replace(b"every round is done", b"each round is over."), b""]
    path.write_bytes(b"\n".join(other))
    live = Live.of(home.root)
    live.tail.grow()
    path.write_bytes(content)
    assert live.head().size == len(log.events)
    os.truncate(path, len(lines[0]) + 1)
    live.tail.grow()
    assert len(live.tail.leaves) == 1


def test_a_changed_event_fails_on_both_pages(tmp_path: Path) -> None:
    home = homes.made(tmp_path / "home", runs.private_run())
    path = home.journal / EVENTS
    path.write_bytes(path.read_bytes().replace(b'"code":"unavailable"', b'"code":"not-allowed"'))
    live = Live.of(home.root)
    with pytest.raises(JournalDamaged, match="not those of its signed head"):
        live.head()
    pages = federation_page(live), run_page(live, runs.RUN)
    assert all(page is not None and "does not match its signed tree head" in page for page in pages)


def test_an_event_of_another_version_is_counted_and_not_shown(tmp_path: Path) -> None:
    home = homes.made(tmp_path / "home", runs.empty_run())
    path = home.journal / EVENTS
    with path.open("ab") as file:
        file.write(b'{"schema_version":7}\n')
    live = Live.of(home.root)
    page = federation_page(live)
    assert live.tail.unread == 1
    assert "1 events are of another version, and are not shown" in page


def test_a_folder_that_is_no_home_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeRefused):
        Live.of(tmp_path)
