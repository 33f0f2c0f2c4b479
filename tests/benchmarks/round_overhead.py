"""Time per round beyond the local training: four embedded sites, 1.2 million parameters.

   python -m tests.benchmarks.round_overhead [--rounds N] [--adapters] [--json]

* A round is the whole of it: requests, signatures, policy, cohort, training, stored replies,
  journals, spool, combination and checkpoint; from its opening to the next one's.
* The overhead of a round is its time less the training of its slowest site; the medians are told.
* The first round (warming up) and the last one (judged) are left out.
* `--adapters` measures what Flower's messages alone cost: arrays go out and deltas come back.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

import hospital_node.training.local
import hospital_node.work
from aggregator.exchange import Exchange
from aggregator.runs import started
from deployment.embedded.federation import opened
from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.training import local
from hospital_node.training.examples import Examples
from schemas.audit.events import Facts, RoundMoved
from schemas.plan import Epochs, Sgd
from schemas.wire.arrays import Arrays, decoded, encoded, layout_of
from schemas.wire.packet import Packet
from tests.benchmarks._round import BATCH, IMAGES, RATE, SIDE, SITES, homes, network
from tests.deployment.embedded.echo import lead, node, request

WORKERS = len(SITES)
DEADLINE_S = 600.0


@dataclass(slots=True)
class Stopwatch:
    """When rounds opened, and how long each site trained in each."""

    openings: list[float] = field(default_factory=list)
    trained_s: dict[int, dict[str, float]] = field(default_factory=dict)

    def observe(self, facts: Facts) -> None:
        """Note the opening of a round."""
        if isinstance(facts, RoundMoved) and facts.target == "opened":
            self.openings.append(time.perf_counter())

    def training(
        self,
        network: Network,
        examples: Examples,
        *,
        start: Arrays,
        work: Epochs,
        pace: local.Pace,
    ) -> dict[str, NDArray[np.float32]]:
        """Train as the framework does, and note how long it took."""
        before = time.perf_counter()
        delta = _trained(network, examples, start=start, work=work, pace=pace)
        took = time.perf_counter() - before
        self.trained_s.setdefault(pace.round, {})[pace.site] = took
        return delta

    def told(self) -> dict[str, float]:
        """Return the medians over all rounds but the first and the last."""
        rounds_s = [after - before for before, after in zip(self.openings, self.openings[1:])]  # noqa: B905
        slowest_s = [max(self.trained_s[number].values()) for number in sorted(self.trained_s)]
        pairs = list(zip(rounds_s, slowest_s, strict=False))[1:]
        return {
            "overhead_s": statistics.median(whole - train for whole, train in pairs),
            "round_s": statistics.median(whole for whole, _ in pairs),
            "train_s": statistics.median(train for _, train in pairs),
        }


_trained = local.trained


def whole(folder: Path, *, rounds: int) -> Stopwatch:
    """Run a plan over real homes; only the network and the stopwatch are put in their place."""
    stopwatch = Stopwatch()
    made = homes(folder, rounds=rounds)
    with (
        replaced(hospital_node.work, "network_of", lambda *_, **__: network()),
        replaced(hospital_node.training.local, "trained", stopwatch.training),
        opened(made.aggregator, made.nodes) as federation,
    ):
        run = started(federation.federation, made.material)
        federation.conducted(run, observe=stopwatch.observe, workers=WORKERS)
    return stopwatch


def adapters(*, rounds: int) -> Stopwatch:
    """Send the arrays through Flower's apps and average the deltas, with nothing around them."""
    stopwatch = Stopwatch()
    arrays = trainable_arrays(network().module)
    layout = layout_of(arrays)

    def client(site: str) -> Callable[[Packet], Packet]:
        generator = torch.Generator().manual_seed(SITES.index(site))
        examples = Examples(
            inputs=torch.randn(IMAGES, 1, SIDE, SIDE, generator=generator),
            labels=torch.randint(0, 2, (IMAGES,), generator=generator).float(),
            patients=torch.arange(IMAGES),
        )
        work = Epochs(epochs=1, batch_images=BATCH, optimizer=Sgd(learning_rate=RATE))

        def answer(packet: Packet) -> Packet:
            number = len(stopwatch.openings)
            pace = local.Pace(round=number, rounds=rounds, site=site)
            start = decoded(packet.body, layout)
            delta = stopwatch.training(network(), examples, start=start, work=work, pace=pace)
            return Packet(packet.envelope, encoded(delta, layout))

        return answer

    def conduct(exchange: Exchange) -> None:
        current = arrays
        for number in range(1, rounds + 1):
            stopwatch.openings.append(time.perf_counter())
            packet = request(body=encoded(current, layout), number=number)
            deltas = [
                decoded(reply.body, layout)
                for _, reply in exchange(packet, SITES, deadline_s=DEADLINE_S)
                if reply is not None
            ]
            current = {name: current[name] + _mean(name, deltas) for name in current}

    lead(conduct, {site: node(client(site)) for site in SITES}, workers=WORKERS)
    return stopwatch


def _mean(name: str, deltas: list[dict[str, NDArray[np.float32]]]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.mean([one[name] for one in deltas], axis=0, dtype=np.float32)
    return mean


@contextmanager
def replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Put a value in a module's place for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def told(measured: Mapping[str, float], *, as_json: bool) -> str:
    """Write the result for a program or for people."""
    if as_json:
        return json.dumps({name: round(value, 4) for name, value in measured.items()})
    rows = (f"{name:12}{value:8.4f} s" for name, value in measured.items())
    return "\n".join(rows)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="Time per round beyond the local training.")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--adapters", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.adapters:
        stopwatch = adapters(rounds=arguments.rounds)
    else:
        with tempfile.TemporaryDirectory() as folder:
            stopwatch = whole(Path(folder), rounds=arguments.rounds)
    sys.stdout.write(told(stopwatch.told(), as_json=arguments.json) + "\n")


if __name__ == "__main__":
    main()
