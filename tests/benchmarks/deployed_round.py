"""A round over real processes and TLS on loopback, beside the work that it is for.

   python -m tests.benchmarks.deployed_round [--rounds N] [--large-rounds N] [--json]

overhead_s         median over rounds of four nodes and 1.2 million parameters, train and evaluate:
                   the round's time less the slowest site's training and the slowest's evaluation
large_mb_per_s     a model of 100 MB to one node and its delta back: the bytes of both, by the
                   median of the rounds' times less the training
aggregator_copies  what the process that leads that run grew by, in models of that size

The first round (warming up) and the last one are left out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aggregator.federation
import hospital_node.node
from aggregator.enrolment import approved, read_request
from hospital_node.enrolment import install, request
from tests.benchmarks._round import Homes, Size, homes
from tests.deployed import PATIENCE_S, free_port

MEGABYTE = 1e6
LARGE = Size(sites=("A",), hidden=3050)
"""Some 25 million parameters: 100 MB."""

JUDGED = Size(judged=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run's processes told."""

    rounds_s: list[float]
    trained_s: list[float]
    """The slowest site of each round."""
    evaluated_s: list[float]
    told: dict[str, Any]


def measured(folder: Path, size: Size, *, rounds: int) -> Measured:
    """Run a plan over processes of its own."""
    address = f"127.0.0.1:{free_port()}"
    made = homes(folder, rounds=rounds, size=size, address=address)
    _enrol(made)
    plan, contract = made.material.plan, made.material.contract
    (folder / "plan.json").write_bytes(plan.canonical())
    (folder / "contract.json").write_bytes(contract.canonical())
    (folder / "initial").write_bytes(made.material.initial)
    with _processes(made, size):
        role = [sys.executable, "-m", "tests.benchmarks._deployed", "lead", str(made.aggregator)]
        done = subprocess.run(  # noqa: S603 - every word is of this file
            [*role, "0"], stdout=subprocess.PIPE, check=True, timeout=30 * PATIENCE_S
        )
    told = json.loads(done.stdout.splitlines()[-1])
    moments = told.pop("opened_s")
    return Measured(
        [after - before for before, after in pairwise(moments)],
        _slowest(made, "trained"),
        _slowest(made, "evaluated"),
        told,
    )


def _enrol(made: Homes) -> None:
    for home in made.nodes:
        with (
            aggregator.federation.opened(made.aggregator) as federation,
            hospital_node.node.opened(home) as node,
        ):
            install(node, approved(federation, read_request(request(node))).canonical())


@contextmanager
def _processes(made: Homes, size: Size) -> Iterator[None]:
    start = "import sys; from aggregator.cli import main; sys.exit(main())"
    serve = ["-c", start, "serve", "--home", str(made.aggregator)]
    lines = [["-m", "tests.benchmarks._deployed", "node", str(home)] for home in made.nodes]
    log = made.aggregator.with_suffix(".log").open("ab")
    started = [
        subprocess.Popen([sys.executable, *line], stdout=log, stderr=log)  # noqa: S603 - as above
        for line in [serve, *([*line, str(size.hidden)] for line in lines)]
    ]
    try:
        yield
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait(timeout=PATIENCE_S)
        log.close()


def _slowest(made: Homes, kind: str) -> list[float]:
    """Return the longest time that any site took, request by request."""
    each = []
    for home in made.nodes:
        lines = [json.loads(one) for one in home.with_suffix(".times").read_text().splitlines()]
        each.append([one["took_s"] for one in lines if one["kind"] == kind])
    return [max(times) for times in zip(*each, strict=True)]


def told(small: Measured, large: Measured) -> dict[str, float]:
    """Return the three figures."""
    parts = zip(small.rounds_s, small.trained_s, small.evaluated_s, strict=False)
    overheads = [whole - train - evaluate for whole, train, evaluate in parts][1:]
    moving = [whole - train for whole, train in zip(large.rounds_s, large.trained_s, strict=False)]
    size = large.told["model_bytes"]
    grown = large.told["peak_bytes"] - large.told["before_bytes"]
    return {
        "overhead_s": statistics.median(overheads),
        "round_s": statistics.median(small.rounds_s[1:]),
        "large_mb_per_s": 2 * size / MEGABYTE / statistics.median(moving[1:]),
        "aggregator_copies": grown / size,
    }


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="A round over real processes and TLS.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--large-rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        small = measured(Path(one), JUDGED, rounds=arguments.rounds)
        large = measured(Path(other), LARGE, rounds=arguments.large_rounds)
    found = told(small, large)
    if arguments.json:
        sys.stdout.write(json.dumps({name: round(one, 4) for name, one in found.items()}) + "\n")
        return
    sys.stdout.write("".join(f"{name:18}{one:9.3f}\n" for name, one in found.items()))


if __name__ == "__main__":
    main()
