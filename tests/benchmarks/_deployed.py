"""The processes of a deployed benchmark: `python -m tests.benchmarks._deployed ROLE HOME HIDDEN`.

node    answers as `hospital-node serve` does; only the network is put in its place. What its own
        work took is written beside the home, one line for each request.
lead    leads a run as `aggregator run` does, and prints when rounds opened, how much memory it took
        and how large the model is.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")


def serve(home: Path, hidden: int) -> None:
    """Answer requests until told to stop."""
    import torch  # noqa: PLC0415 - the other role has none

    import hospital_node.cli.serve  # noqa: PLC0415
    import hospital_node.session  # noqa: PLC0415
    import hospital_node.work  # noqa: PLC0415
    from tests.benchmarks._round import network  # noqa: PLC0415

    torch.set_num_threads(1)
    made = network(hidden)
    setattr(hospital_node.work, "network_of", lambda *_, **__: made)  # noqa: B010 - imported there
    for name in ("trained", "evaluated"):
        work = getattr(hospital_node.session, name)
        setattr(hospital_node.session, name, _timed(work, home.with_suffix(".times")))
    hospital_node.cli.serve.serve(home)


def _timed(work: Callable[..., R], log: Path) -> Callable[..., R]:
    def timed(*words: object) -> R:
        before = time.monotonic()
        found = work(*words)
        line = {"kind": work.__name__, "took_s": time.monotonic() - before}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return found

    return timed


def lead(home: Path) -> None:
    """Lead the plan beside the home to its end."""
    from aggregator.federation import opened  # noqa: PLC0415
    from aggregator.flower.leading import lead as led  # noqa: PLC0415
    from aggregator.runs import Material, started  # noqa: PLC0415
    from schemas.audit.events import Facts, RoundMoved  # noqa: PLC0415
    from schemas.contract import DataContract  # noqa: PLC0415
    from schemas.plan import TrainingPlan  # noqa: PLC0415

    folder = home.parent
    plan = TrainingPlan.from_canonical((folder / "plan.json").read_bytes())
    contract = DataContract.from_canonical((folder / "contract.json").read_bytes())
    moments: list[float] = []

    def observe(facts: Facts) -> None:
        if isinstance(facts, RoundMoved) and facts.target == "opened":
            moments.append(time.monotonic())

    with opened(home, command="run") as federation:
        material = Material(plan, contract, (folder / "initial").read_bytes())
        size, name = len(material.initial), started(federation, material)
        del material
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        led(federation, name, observe)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = {"before_bytes": before * 1024, "peak_bytes": peak * 1024, "model_bytes": size}
    sys.stdout.write(json.dumps(grown | {"opened_s": moments}) + "\n")


if __name__ == "__main__":
    role, place, width = sys.argv[1:]
    serve(Path(place), int(width)) if role == "node" else lead(Path(place))
