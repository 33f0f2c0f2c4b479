"""What aggregation takes: memory in copies of the model, and time beside stock Flower.

   python -m tests.benchmarks.aggregation [--parameters N] [--repeats N] [--skip-hundred] [--json]

* 30 million float32, replies from another process, one aggregating process for each figure. The
  whole round is in it: signatures, digests, the update gate, the spool on disk, the candidate
  stored and synced.
* `peak_copies_*`: resident memory at its highest above the idle aggregator, over the model's size.
* `time_vs_flower`: seconds from the first reply to the stored candidate over those of Flower's
  FedAvg from the same arrays, which it is given already read; medians of interleaved repeats.
* The spool is in TMPDIR, which must be a disk: memory would be no measure of a spool in memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from aggregator import federation
from aggregator.config import AggregatorHome
from schemas.aggregation import Aggregation, CombinerRule, Mean, Median, TrimmedMean
from schemas.audit.events import HomeMade
from schemas.audit.journal import Journal
from schemas.names import digest_of, now
from schemas.network import ConvolutionalNetwork
from schemas.plan import (
    Epochs,
    EvaluationPlan,
    InitialArrays,
    NoPrivacy,
    Participation,
    PinnedFile,
    PlanSite,
    Sgd,
    TrainingPlan,
)
from schemas.wire.arrays import header
from schemas.wire.keys import SigningKey
from schemas.wire.layout import ArraySpec, Layout
from tests.benchmarks._replying import BODIES, sites
from tests.benchmarks._round import contract

ARRAYS = 30
SITES = (20, 100)
COMBINERS: dict[str, CombinerRule] = {
    "mean": Mean(),
    "median": Median(),
    "trimmed-mean": TrimmedMean(trim=2),
}


def prepared(folder: Path, parameters: int, count: int) -> None:
    """Make the aggregator's home, the sites' keys and heads, bodies and plans."""
    size = parameters // ARRAYS
    layout: Layout = tuple(ArraySpec(name=f"a{one:02}", shape=(size,)) for one in range(ARRAYS))
    (folder / "layout.json").write_text(json.dumps([(one.name, one.size) for one in layout]))
    generator = np.random.default_rng(0)
    (folder / "bodies").mkdir()
    for number in range(BODIES):
        values = generator.standard_normal(size * ARRAYS, dtype=np.float32) * np.float32(0.01)
        (folder / "bodies" / str(number)).write_bytes(header(layout) + values.tobytes())
    initial = header(layout) + generator.standard_normal(size * ARRAYS, dtype=np.float32).tobytes()
    (folder / "initial").write_bytes(initial)
    (folder / "contract.json").write_bytes(contract().canonical())
    for name, rule in COMBINERS.items():
        path = folder / f"{name}.plan.json"
        path.write_bytes(_plan(digest_of(initial), count, rule).canonical())
    _enrol(folder, count)


def _enrol(folder: Path, count: int) -> None:
    federation.make(folder / "aggregator", federation="benchmark")
    (folder / "heads").mkdir()
    with federation.opened(folder / "aggregator") as one:
        (folder / "aggregator.public").write_text(one.key.public)
        for site in sites(count):
            key = SigningKey.generate()
            key.save(folder / "keys" / site)
            journal = Journal(folder / "journals" / site, origin=f"site/{site}", key=key, clock=now)
            journal.append(HomeMade(key=key.public))
            (folder / "heads" / site).write_text(journal.head())
            journal.close()
            witness = SigningKey.generate()
            witness.save(folder / "witnesses" / site)
            one.enrol(site, key.public, witness.public)
    assert AggregatorHome(folder / "aggregator").roster.exists()


def _plan(initial: str, count: int, rule: CombinerRule) -> TrainingPlan:
    return TrainingPlan(
        name="benchmark",
        title="Aggregation to measure",
        contract=PinnedFile(file="benchmark.contract.toml", pinned=contract().digest),
        initial=InitialArrays(seed=0, arrays=initial),
        network=ConvolutionalNetwork(),
        sites=tuple(PlanSite(site=one) for one in sites(count)),
        rounds=1,
        local=Epochs(epochs=1, batch_images=32, optimizer=Sgd(learning_rate=0.01)),
        privacy=NoPrivacy(kind="none"),
        aggregation=Aggregation(combiner=rule),
        evaluation=EvaluationPlan(rounds=(1,)),
        participation=Participation(quorum=count),
    )


def measured(folder: Path, count: int, *words: str) -> dict[str, float]:
    """Run one aggregating process and return what it told."""
    command = [sys.executable, "-m", "tests.benchmarks._aggregating", str(folder), str(count)]
    told = subprocess.run([*command, *words], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    print(f"{count} sites, {' '.join(words)}: {found}", file=sys.stderr, flush=True)  # noqa: T201
    return found


def compared(parameters: int, repeats: int, *, with_hundred: bool) -> dict[str, Any]:
    """Measure everything."""
    told: dict[str, Any] = {"parameters": parameters, "repeats": repeats}
    with tempfile.TemporaryDirectory(prefix="consilium-aggregation-") as name:
        folder = Path(name)
        prepared(folder, parameters, SITES[0])
        runs = [
            (measured(folder, SITES[0], "ours"), measured(folder, SITES[0], "flower"))
            for _ in range(repeats)
        ]
        told["peak_copies_20"] = max(mine["copies"] for mine, _ in runs)
        told["flower_peak_copies_20"] = max(theirs["copies"] for _, theirs in runs)
        told["seconds_20"] = statistics.median(mine["seconds"] for mine, _ in runs)
        told["flower_seconds_20"] = statistics.median(theirs["seconds"] for _, theirs in runs)
        told["time_vs_flower"] = statistics.median(
            mine["seconds"] / theirs["seconds"] for mine, theirs in runs
        )
        robust = {
            one: measured(folder, SITES[0], "ours", one) for one in COMBINERS if one != "mean"
        }
        told["robust_peak_copies"] = max(one["copies"] for one in robust.values())
        told["robust_seconds"] = {one: found["seconds"] for one, found in robust.items()}
    if with_hundred:
        with tempfile.TemporaryDirectory(prefix="consilium-aggregation-") as name:
            prepared(Path(name), parameters, SITES[1])
            told["peak_copies_100"] = measured(Path(name), SITES[1], "ours")["copies"]
    return {key: round(one, 3) if isinstance(one, float) else one for key, one in told.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parameters", type=int, default=30_000_000, metavar="N")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--skip-hundred", action="store_true", help="Leave out 100 sites (12 GB).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    asked = parser.parse_args()
    if _is_in_memory(Path(tempfile.gettempdir())):
        print(json.dumps({"skipped": "TMPDIR is in memory; name a folder on a disk"}))  # noqa: T201
        return
    told = compared(asked.parameters, asked.repeats, with_hundred=not asked.skip_hundred)
    print(json.dumps(told, indent=None if asked.json else 2))  # noqa: T201


def _is_in_memory(folder: Path) -> bool:
    """Say whether a folder is on tmpfs."""
    device = os.stat(folder).st_dev  # noqa: PTH116
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    kinds = {one.split()[1]: one.split()[2] for one in mounts}
    return any(
        kind == "tmpfs" and Path(place).exists() and os.stat(place).st_dev == device  # noqa: PTH116
        for place, kind in kinds.items()
    )


if __name__ == "__main__":
    main()
