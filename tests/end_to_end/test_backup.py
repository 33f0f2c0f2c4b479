"""A home that was copied away and brought back goes on where it stood."""

import shutil
from pathlib import Path

import aggregator.cli
from schemas.audit.events import RefusalReceived, ReplyReceived, RunOpened
from schemas.command_line import run
from tests.deployed import Deployed, deployed
from tests.end_to_end.test_faults import THREE_ROUNDS, asked, assert_whole
from tests.study import SITES, Study, command, conducting, made


def restored(study: Study) -> None:
    """Copy every home away, lose it, and bring the copy back, as the page on backups says."""
    for home in (study.aggregator, *study.nodes.values()):
        away = study.folder / "backup" / home.name
        shutil.copytree(home, away, symlinks=True)
        shutil.rmtree(home)
        shutil.move(away, home)


def test_both_sides_are_restored_from_a_copy_and_run_again(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)
    for home in study.nodes.values():
        words = ("policy", "limit", "--home", home, "--epsilon", 100)
        command(*words, "--approver", "A. Steward")
    with conducting(study) as (_, conducted, seen):
        conducted()
    first = [one for one in seen if isinstance(one, ReplyReceived)]
    restored(study)
    verify = ["audit", "verify", "--home", str(study.aggregator)]
    assert run(aggregator.cli.app, verify) == 0
    for site in SITES:
        command("audit", "verify", "--home", study.nodes[site])
    with conducting(study) as (_, conducted, seen):
        conducted()
    assert len([one for one in seen if isinstance(one, ReplyReceived)]) == len(first)
    assert not [one for one in seen if isinstance(one, RefusalReceived)]


def test_an_old_copy_of_the_relay_s_file_repeats_nothing(tmp_path: Path) -> None:
    away = tmp_path / "backup"
    with deployed(tmp_path, **THREE_ROUNDS) as one:
        link = one.study.aggregator / "link"
        one.serve()
        one.nodes()
        one.lead()
        one.until(asked(1, "evaluate"))
        stopped(one)
        shutil.copytree(link, away)
        one.serve()
        [name] = {fact.run for fact in one.facts() if isinstance(fact, RunOpened)}
        one.lead("--resume", name)
        one.until(asked(2, "evaluate"))
        stopped(one)
        shutil.rmtree(link)
        shutil.move(away, link)
        one.serve()
        assert one.led("--resume", name)["run"] == name
        assert_whole(one)


def stopped(one: Deployed) -> None:
    """End both processes of the aggregator, as before a copy; its nodes go on calling."""
    for name in ("run", "serve"):
        one.kill(name)
