"""Runs that are cut in the middle of a round and taken up again end with the same model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import Facts, RoundMoved
from schemas.errors import QuorumLost
from schemas.wire.packet import Packet
from tests.study import Direct, conducting, made


class PowerCutError(BaseException):
    """Ends the process's work at once, as far as the code can tell."""


EDGE_COUNT = 12


@pytest.mark.parametrize("edge", range(EDGE_COUNT))
def test_a_run_cut_at_any_edge_resumes_to_the_same_model(tmp_path: Path, edge: int) -> None:
    undisturbed = _reference(tmp_path / "reference")
    study = made(tmp_path / "study")
    edges = 0

    def cut(facts: Facts) -> None:
        nonlocal edges
        if isinstance(facts, RoundMoved):
            if edges == edge:
                raise PowerCutError
            edges += 1

    with study.opened() as embedded:
        name = study.started(embedded.federation)
        with pytest.raises(PowerCutError):
            conduct(embedded.federation, name, Direct(embedded.nodes), cut)
    with study.opened() as embedded:
        state = conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
    assert state.accepted.arrays == undisturbed
    assert state.accepted.round == 2


_accepted: list[str] = []


def _reference(folder: Path) -> str:
    if not _accepted:
        _accepted.append(made(folder).conducted().accepted.arrays)
    return _accepted[0]


def test_the_cuts_above_are_all_the_edges(tmp_path: Path) -> None:
    with conducting(made(tmp_path)) as (_, conducted, seen):
        conducted()
        assert sum(isinstance(one, RoundMoved) for one in seen) == EDGE_COUNT


def test_an_abandoned_private_round_that_is_resumed_charges_nobody_twice(tmp_path: Path) -> None:
    study = made(tmp_path, private=True)

    def lost(site: str, reply: Packet) -> Packet | None:
        return reply if site == "east" else None

    def spent(embedded: EmbeddedFederation) -> dict[str, float]:
        figures = {}
        for site, node in embedded.nodes.items():
            with Ledger(node.home.ledger) as ledger:
                figures[site] = ledger.spent("train", delta=1e-4).rdp
        return figures

    with study.opened() as embedded:
        name = study.started(embedded.federation)
        exchange = Direct(embedded.nodes)
        with pytest.raises(QuorumLost):
            conduct(embedded.federation, name, exchange.tampering(lost), lambda _: None)
        before = spent(embedded)
        seen: list[Facts] = []

        def stop_after_screening(facts: Facts) -> None:
            seen.append(facts)
            if isinstance(facts, RoundMoved) and facts.target == "screened":
                raise PowerCutError

        with pytest.raises(PowerCutError):
            conduct(embedded.federation, name, exchange, stop_after_screening)
        assert spent(embedded) == before


LOSSES: dict[str, Callable[[Path], object]] = {
    "arrays cut short": lambda file: file.write_bytes(file.read_bytes()[:-4]),
    "arrays changed": lambda file: file.write_bytes(file.read_bytes()[:-1] + b"\x7f"),
    "arrays gone": lambda file: file.unlink(),
    "envelope gone": lambda file: file.with_suffix(".envelope").unlink(),
    "envelope changed": lambda file: file.with_suffix(".envelope").write_bytes(b"{}"),
}


@pytest.mark.parametrize("phase", ["collected", "screened"])
@pytest.mark.parametrize("story", LOSSES)
def test_an_update_that_a_crash_cost_the_spool_is_asked_for_again(
    tmp_path: Path, story: str, phase: str
) -> None:
    study = made(tmp_path, rounds=1, evaluation={"rounds": [1]})
    undisturbed = study.conducted().accepted.arrays

    def cut(facts: Facts) -> None:
        if isinstance(facts, RoundMoved) and facts.target == phase:
            raise PowerCutError

    with study.opened() as embedded:
        name = study.started(embedded.federation)
        with pytest.raises(PowerCutError):
            conduct(embedded.federation, name, Direct(embedded.nodes), cut)
        spool = study.aggregator / "runs" / name / "spool"
        LOSSES[story](spool / "north.arrays")
        state = conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
        assert state.accepted.arrays == undisturbed
        assert [one.site for one in state.sources] == ["east", "north", "west"]
