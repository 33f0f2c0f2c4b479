"""A run over every edge of the transition table, killed at one: `python -m tests.soak.edges`.

One process imports everything once and forks a federation for each kill. The run is made of six
rounds, so that it takes every edge:

  1 accepted   2 not judged   3 rolled back   4 inconclusive   5 abandoned, then resumed
  6 accepted, after its spool was damaged when collected and again when screened

* What a site answers is a function of site and round, but for the silence of round 5, which a file
  ends, and the damage of round 6, which a file for each remembers.
* A kill comes before the state is saved, between state and journal, or after both.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import dp_accounting.pld
import dp_accounting.rdp  # noqa: F401 - each fork would import these anew
import torch._dynamo  # noqa: F401 - as above

from aggregator import recovery, rounds
from aggregator.rounds import EDGES, is_over
from aggregator.run_state import RunState
from aggregator.running import Run
from aggregator.runs import conduct, run_names, stored
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.config import NodeHome
from hospital_node.policy import load_policy
from hospital_node.privacy.consistency import hold_ledger
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import Facts, ReplySent, Reserved, RoundMoved, Settled
from schemas.audit.lines import read_facts
from schemas.errors import QuorumLost
from schemas.update import RESOLUTION_BITS, Evaluation, Histogram, Update
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.packet import Packet
from tests.soak.campaign import PARTS, study_in
from tests.study import Direct, Study

Edge: TypeAlias = tuple[str, str]
POINTS = ("before", "saved", "after")
ALL_EDGES: tuple[Edge, ...] = tuple(
    (source, target) for source, targets in EDGES.items() for target in targets
)
CHANGES: dict[str, Any] = {
    "rounds": 6,
    "gate": {
        "site_min_class_weight": 10.0,
        "floor": 0.5,
        "margin": 0.3,
        "site_margin": 1.0,
        "min_sites": 2,
    },
}
PATIENTS = 1000 * 2**RESOLUTION_BITS
BINS = 10


class PowerCutError(BaseException):
    """Ends the work at once, as far as the code can tell."""


def kills() -> Iterator[tuple[Edge, str]]:
    for edge in ALL_EDGES:
        for point in POINTS:
            yield edge, point


def armed(edge: Edge, point: str) -> None:
    """Let this process be killed at one point of one edge."""
    save_edge, note, is_due = rounds.moved, Run.note, False

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def moved(run: Run, source: RunState, target: RunState) -> RunState:
        nonlocal is_due
        is_due = (source.phase, target.phase) == edge
        if is_due and point == "before":
            kill()
        found = save_edge(run, source, target)
        if is_due and point == "after":
            kill()
        return found

    def noted(run: Run, *facts: Facts) -> None:
        if is_due and point == "saved" and isinstance(facts[0], RoundMoved):
            kill()
        note(run, *facts)

    rounds.moved = moved
    recovery.moved = moved  # type: ignore[attr-defined]  # attacked by assignment
    Run.note = noted  # type: ignore[assignment, method-assign]  # attacked by assignment


def scores(number: int) -> Histogram:
    """Return a perfect model's scores, or in round 3 those of one that is always wrong."""
    low = (PATIENTS, *[0] * (BINS - 1))
    return Histogram(counts=(low[::-1], low) if number == 3 else (low, low[::-1]))


def answered(embedded: EmbeddedFederation, folder: Path, site: str, reply: Packet) -> Packet | None:
    """Return what a site answers in the story of the run."""
    if kind_of(reply.envelope) not in {Update.__name__, Evaluation.__name__}:
        return reply
    key = embedded.nodes[site].key
    found = opened(reply.envelope, Update, Evaluation, key=key.public)
    if isinstance(found, Update):
        is_silent = found.round == 5 and site != "east" and not (folder / "healed").exists()
        return None if is_silent else reply
    if found.round == 4 and site != "east":
        return None
    fields = {name: getattr(found, name) for name in Evaluation.model_fields}
    changed = Evaluation(**fields | {"histogram": scores(found.round)})
    return replace(reply, envelope=signed(changed, key))


def conducted(study: Study) -> None:
    """Start the run or take it up, and see it to its end through everything that befalls it."""
    while True:
        with study.opened() as embedded:
            federation = embedded.federation
            name = next(iter(run_names(federation)), None) or study.started(federation)

            def tamper(site: str, reply: Packet, embedded: Any = embedded) -> Packet | None:
                return answered(embedded, study.folder, site, reply)

            def damage(facts: Facts, name: str = name) -> None:
                _damage(study, name, facts)

            try:
                conduct(federation, name, Direct(embedded.nodes).tampering(tamper), damage)
            except QuorumLost:
                (study.folder / "healed").touch()
            except PowerCutError:
                continue
            if is_over(*stored(federation, name)):
                return


def _damage(study: Study, name: str, facts: Facts) -> None:
    """Cost the spool an update in round 6, once when collected and once when screened."""
    if not isinstance(facts, RoundMoved) or facts.round != 6:
        return
    mark = study.folder / f"damaged-{facts.target}"
    if facts.target in {"collected", "screened"} and not mark.exists():
        mark.touch()
        (study.aggregator / "runs" / name / "spool" / "north.arrays").unlink()
        raise PowerCutError


def forked(study: Study, kill: tuple[Edge, str] | None) -> int:
    """Conduct the run in a process of its own and return how it ended, as `waitpid` says."""
    child = os.fork()
    if child == 0:
        try:
            if kill is not None:
                armed(*kill)
            conducted(study)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is, the test must read it
            traceback.print_exc()
        finally:
            os._exit(3)
    return os.waitpid(child, 0)[1]


def told(study: Study) -> dict[str, Any]:
    """Return what a run came to: its model, its edges, and what the ledgers hold."""
    with study.opened() as embedded:
        (name,) = run_names(embedded.federation)
        _, state = stored(embedded.federation, name)
    facts = read_facts(study.aggregator / "journal", RoundMoved)
    return {
        "accepted": state.accepted.arrays,
        "round": state.accepted.round,
        "edges": [
            (one.round, one.source, one.target) for one in facts if isinstance(one, RoundMoved)
        ],
        "spent": {site: _spent(NodeHome(home)) for site, home in study.nodes.items()},
    }


def _spent(home: NodeHome) -> list[float]:
    """Hold a ledger against its journal, and return what each part has spent."""
    limit = load_policy(home).limit
    with Ledger(home.ledger) as ledger:
        hold_ledger(ledger.rows(), read_facts(home.journal, Reserved, Settled, ReplySent))
        return [ledger.spent(part, delta=limit.delta).rdp for part in PARTS]


def main(folder: Path, places: list[str]) -> None:
    """Print what came of the undisturbed run, then of the run killed at each place."""
    for number, place in enumerate(["", *places]):
        copy = folder.parent / f"{folder.name}-{number}"
        shutil.copytree(folder, copy)
        study = study_in(copy)
        if place:
            source, target, point = place.split(":")
            status = forked(study, ((source, target), point))
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            assert killed, f"{place}: the run ended by itself"
        assert forked(study, None) == 0, f"{place}: the run did not end"
        print(json.dumps(told(study)), flush=True)  # noqa: T201 - the test reads it
        shutil.rmtree(copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
