"""Tuning a part of a network in a federation: only that part leaves, and the rest is held."""

from pathlib import Path
from typing import Any

import pytest

from hospital_node.config import NodeHome
from hospital_node.models.tuning import trained_names
from hospital_node.pretrained import network_of
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import Facts, RefusalReceived
from schemas.errors import PlanNotApproved, QuorumLost
from schemas.names import digest_of
from schemas.plan import FROZEN_SUFFIX, Trainable
from schemas.wire.arrays import declared_layout
from schemas.wire.packet import Packet
from tests import study
from tests.hospital_node.cohort.exports import recipe

LABELS = {"head": 2, "norm-and-head": 6}
"""Arrays that leave: weight and bias of the head, and of two normalisations."""


def stored(site: study.Study, name: str = "east") -> Path:
    (path,) = NodeHome(site.nodes[name]).frozen.iterdir()
    return path


@pytest.mark.parametrize("trainable", ["head", "norm-and-head"])
def test_a_federation_tunes_a_part_and_nothing_else_leaves(
    tmp_path: Path, trainable: Trainable
) -> None:
    site = study.made(tmp_path, private=True, trainable=trainable)
    left: list[set[str]] = []

    def seen(_: str, reply: Packet) -> Packet:
        if reply.body:
            left.append({one.name for one in declared_layout(reply.body)})
        return reply

    with study.conducting(site, seen) as (embedded, conducted, _):
        state = conducted()
        model = embedded.federation.store.arrays(state.server.iterate)
    plan = site.parsed()
    whole = network_of(NodeHome(site.nodes["east"]), plan, recipe(size=(16, 16)))
    assert state.round == 2
    assert len(left) == 2 * len(study.SITES)
    assert all(len(one) == LABELS[trainable] for one in left)
    assert {one.name for one in declared_layout(model)} == left[0]
    assert left[0] == trained_names(whole.module, trainable)
    assert digest_of(stored(site).read_bytes()) == plan.initial.frozen
    with Ledger(NodeHome(site.nodes["east"]).ledger) as ledger:
        assert [one.part for one in ledger.entries()] == ["train", "validation"] * 2


def test_the_same_over_flower_s_apps(tmp_path: Path) -> None:
    assert study.made(tmp_path, private=True, trainable="head").conducted().round == 2


def spoil(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_a_node_without_the_named_frozen_arrays_refuses_and_charges_nothing(
    tmp_path: Path, how: str
) -> None:
    site = study.made(tmp_path, private=True, trainable="head")
    for one in study.SITES:
        spoil(stored(site, one), how)
    with study.conducting(site) as (_, conducted, seen), pytest.raises(QuorumLost):
        conducted()
    assert refusals(seen) == ["not-approved"] * 3
    for home in site.nodes.values():
        with pytest.raises(PlanNotApproved, match="frozen arrays that it names are missing here"):
            network_of(NodeHome(home), site.parsed(), recipe(size=(16, 16)))
        with Ledger(NodeHome(home).ledger) as ledger:
            assert ledger.rows() == ()


def refusals(seen: list[Facts]) -> list[Any]:
    return [one.code for one in seen if isinstance(one, RefusalReceived)]


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_an_approval_needs_the_very_file_beside_the_plan(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = study.made(tmp_path, private=True, approve=False, trainable="head")
    spoil(site.plan.with_suffix(FROZEN_SUFFIX), how)
    study.approved(site, "east", private=True, expect=2)
    said = capsys.readouterr().err
    assert "frozen arrays refused: small.plan.frozen.safetensors" in " ".join(said.split())
    assert (site.parsed().initial.frozen or "")[:19] in said
    assert not NodeHome(site.nodes["east"]).frozen.exists()
    assert not NodeHome(site.nodes["east"]).plans.exists()


def test_an_approval_again_mends_what_was_changed_and_needs_no_file_otherwise(
    tmp_path: Path,
) -> None:
    site = study.made(tmp_path, private=True, trainable="head")
    spoil(stored(site), "changed")
    study.approved(site, "east", private=True)
    assert digest_of(stored(site).read_bytes()) == site.parsed().initial.frozen
    site.plan.with_suffix(FROZEN_SUFFIX).unlink()
    study.approved(site, "east", private=True)
    study.approved(site, "north", private=True)
