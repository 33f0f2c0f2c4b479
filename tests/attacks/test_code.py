"""Installed code that was changed after a person allowed it."""

from pathlib import Path

from hospital_node.policy import installed_code, load_policy, pin_code
from schemas.audit.events import CodePinned, Refused
from schemas.names import digest_of
from tests.desk import desk
from tests.study import command, made


def test_another_code_than_the_pinned_one_is_refused_before_any_charge(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        pin_code(one.node.home, digest_of(b"another build"))
        assert one.refused() == "not-approved"
        assert one.spent() == 0
        assert [fact.code for fact in one.facts(Refused)] == ["not-approved"]
        pin_code(one.node.home, installed_code())
        assert one.asked().kind == "update"


def test_a_person_pins_what_is_installed_and_the_journal_says_so(tmp_path: Path) -> None:
    study = made(tmp_path)
    home = study.nodes["east"]
    command("policy", "pin", "--home", home, "--approver", "A. Steward")
    with study.opened() as embedded:
        node = embedded.nodes["east"]
        software = load_policy(node.home).software
        assert software is not None
        assert software.code == installed_code()
        noted = [one.facts for one in node.journal.events() if isinstance(one.facts, CodePinned)]
    assert noted == [CodePinned(approver="A. Steward", code=installed_code())]
    command("policy", "pin", "--home", home, "--approver", "A. Steward", "--off")
    with study.opened() as embedded:
        assert load_policy(embedded.nodes["east"].home).software is None
