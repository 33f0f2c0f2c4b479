"""The promises of hospital_node/session.py, one by one, against a node with real DICOM."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hospital_node.cohort.store import open_cohort
from hospital_node.policy import Limit, set_limit
from hospital_node.privacy.ledger import Ledger
from hospital_node.work import _examples, _network
from schemas.audit.events import Facts, RefusalReceived, Refused, ReplySent, Reserved, Settled
from schemas.errors import EnvelopeRefused, QuorumLost
from schemas.update import EvaluateRequest, Evaluation, Refusal, Update
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from tests.desk import DELTA, Desk, desk
from tests.study import approved, command, ingest, made


def test_a_private_update_is_charged_journalled_and_signed_in_that_order(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        update = one.asked()
        assert isinstance(update, Update)
        assert update.privacy is not None
        assert update.privacy.spent.rdp == pytest.approx(one.spent())
        assert one.spent() > 0
        assert one.spent("validation") == 0
        kinds = [type(event.facts) for event in one.node.journal.events()][-4:]
        assert kinds[1:] == [Reserved, ReplySent, Settled]


def test_an_evaluation_is_a_release_of_the_validation_patients(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        evaluation = one.asked(EvaluateRequest)
        assert isinstance(evaluation, Evaluation)
        assert evaluation.privacy is not None
        assert evaluation.privacy.part == "validation"
        assert one.spent("validation") == pytest.approx(evaluation.privacy.spent.rdp)
        assert one.spent("train") == 0


def test_a_repeated_request_gets_the_same_bytes_and_no_new_charge(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        first = one.answer(one.packet())
        spent = one.spent()
        again = one.answer(one.packet())
        assert again == first
        assert one.spent() == spent


def test_another_request_for_an_answered_round_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        one.asked()
        spent = one.spent()
        refusal = one.asked(request="run-1.1.again")
        assert (refusal.code, one.spent()) == ("request-invalid", spent)


def test_a_round_below_an_answered_one_never_trains(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        one.asked(round=2, request="run-1.2")
        spent = one.spent()
        assert one.asked().code == "request-invalid"
        assert one.spent() == spent


Attack = Callable[[Desk], Packet]

UNOWED: dict[str, tuple[Attack, str]] = {
    "signed by another key": (
        lambda one: Packet(signed(one.request(), SigningKey.generate()), one.body),
        "signature is not of the expected key",
    ),
    "of another federation": (lambda one: one.packet(federation="u"), "another federation"),
    "not for this site": (lambda one: one.packet(participants=("north",)), "does not name"),
    "other arrays": (lambda one: replace(one.packet(), body=one.body + b"\0"), "arrays"),
    "no envelope": (lambda one: Packet(b"{}", one.body), "not a canonical envelope"),
}


@pytest.mark.parametrize("story", UNOWED)
def test_a_request_that_is_not_the_aggregators_gets_no_signed_answer(
    tmp_path: Path, story: str
) -> None:
    attack, words = UNOWED[story]
    with desk(tmp_path) as one, pytest.raises(EnvelopeRefused, match=words):
        one.answer(attack(one))


def test_an_unapproved_plan_is_refused_with_a_coarse_code(tmp_path: Path) -> None:
    with desk(tmp_path, approve=False) as one:
        refusal = one.asked()
        assert isinstance(refusal, Refusal)
        assert refusal.code == "not-approved"
        assert one.facts(Refused)[-1].code == "not-approved"


def test_a_round_over_the_cap_is_refused_before_it_runs(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        set_limit(one.node.home, Limit(epsilon=1.5, delta=DELTA))
        assert isinstance(one.asked(), Update)
        spent = one.spent()
        assert one.asked(round=2, request="run-1.2").code == "over-budget"
        assert one.spent() == spent
        reasons = [path.read_bytes() for path in (one.node.home.journal / "private").iterdir()]
        assert any(b"over the limit 1.500 (delta=0.0001)" in reason for reason in reasons)


def test_a_changed_store_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        pixels = next(one.node.cohort_folder.rglob("pixels.npy"))
        content = bytearray(pixels.read_bytes())
        content[-1] ^= 1
        pixels.chmod(0o600)
        pixels.write_bytes(content)
        assert one.asked().code == "cohort-unfit"


def test_a_plan_edited_after_its_approval_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        stored = next(one.node.home.plans.iterdir())
        stored.write_bytes(stored.read_bytes().replace(b'"rounds":2', b'"rounds":3', 1))
        assert one.asked().code == "not-approved"


def test_a_round_that_the_plan_does_not_have_or_judge_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path, evaluation={"rounds": [2]}) as one:
        assert one.asked(round=9, request="run-1.9").code == "request-invalid"
        assert one.asked(EvaluateRequest).code == "request-invalid"


def test_arrays_of_another_layout_are_refused_before_any_charge(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        other = replace(one, body=one.body[:-4])
        assert other.asked().code == "request-invalid"
        assert one.spent() == 0


def test_private_plan_without_privacy_flag_needs_an_approval_that_says_so(tmp_path: Path) -> None:
    study = made(tmp_path, approve=False)
    approved(study, "east", private=True, expect=5)


def test_a_home_in_use_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        ingest(one.study, "east", expect=3)
        words = ("policy", "limit", "--home", one.study.nodes["east"], "--approver", "A")
        command(*words, "--epsilon", 4, expect=3)


@pytest.mark.parametrize("approver", ["", "  ", "A\x1b[2J", "A\nB", "A" * 201])
def test_nobody_can_change_the_cap_without_a_readable_name(tmp_path: Path, approver: str) -> None:
    study = made(tmp_path)
    before = (study.nodes["east"] / "policy.toml").read_bytes()
    words = ("policy", "limit", "--home", study.nodes["east"], "--epsilon", 100)
    command(*words, "--approver", approver, expect=2)
    assert (study.nodes["east"] / "policy.toml").read_bytes() == before


def test_a_request_that_returns_another_journals_head_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        for site, code in (("north", "request-invalid"), ("east", None)):
            head = one.embedded.nodes[site].journal.head()
            found = one.asked(heads={"east": head})
            assert getattr(found, "code", None) == code


def test_a_home_whose_journal_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    study = made(tmp_path)
    shutil.rmtree(study.nodes["east"] / "journal")
    for _ in range(2):
        ingest(study, "east", expect=7)


def test_two_contracts_over_the_same_images_keep_their_own_labels(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        node, plan = one.node, one.study.parsed()
        cohort = open_cohort(node.cohort_folder, plan.contract.pinned or "")
        rows = tuple(
            row.model_copy(update={"label": 1 - row.label}) for row in cohort.manifest.rows
        )
        manifest = cohort.manifest.model_copy(update={"rows": rows})
        other = replace(cohort, manifest=manifest, digest=manifest.digest)
        network = _network(node, plan.digest, plan, cohort)
        labels = [
            _examples(node, network, which, part="train", plan=plan).labels
            for which in (cohort, other)
        ]
        assert (labels[0] == 1 - labels[1]).all()


def test_work_that_raises_what_nobody_foresaw_is_a_signed_refusal_and_stays_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        message = "MILLER^ANNA"
        raise RuntimeError(message)

    monkeypatch.setattr("hospital_node.session.trained", fail)
    study = made(tmp_path, private=True)
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        seen: list[Facts] = []
        with pytest.raises(QuorumLost):
            embedded.conducted(name, observe=seen.append)
        assert {one.code for one in seen if isinstance(one, RefusalReceived)} == {"unavailable"}
        node = embedded.nodes["east"]
        with Ledger(node.home.ledger) as ledger:
            assert [row.status for row in ledger.rows()] == ["reserved", "committed"]
        reasons = [path.read_bytes() for path in (node.home.journal / "private").iterdir()]
        assert any(b"failed unexpectedly" in reason for reason in reasons)
        assert not any(b"MILLER" in reason for reason in reasons)
    logged = capsys.readouterr().err
    assert "request failed: RuntimeError at tests.hospital_node.test_session" in logged
    assert "MILLER" not in logged


def test_training_that_diverges_is_refused_for_good_and_stays_charged(tmp_path: Path) -> None:
    steps = {"kind": "private-steps", "steps": 9}
    local = steps | {"optimizer": {"kind": "sgd", "learning_rate": 1e4, "weight_decay": 100.0}}
    with desk(tmp_path, private=True, local=local) as one:
        first = one.answer(one.packet())
        refusal = one.read(first)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "unavailable"
        spent = one.spent()
        assert spent > 0
        assert one.answer(one.packet()) == first
        assert one.asked(issued="2026-01-01T00:00:01.000Z").code == "request-invalid"
        assert one.spent() == spent
        with Ledger(one.node.home.ledger) as ledger:
            assert [row.status for row in ledger.rows()] == ["reserved", "committed"]
        assert len(one.facts(ReplySent)) == 1
