"""One aggregating process, measured: its time from the first reply, and its memory above idle.

   python -m tests.benchmarks._aggregating FOLDER SITES ours|flower [COMBINER]

The last line is a JSON object. Memory is resident memory at its highest, less what the opened
aggregator held before it asked, in copies of the model. The spool is where FOLDER is.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from aggregator.federation import opened
from aggregator.runs import Material, conduct, started
from schemas.audit.events import CheckpointStored, Facts, Quarantined
from schemas.audit.exchange import Shared, Shown
from schemas.audit.notes import cosignature, witness_name
from schemas.contract import DataContract
from schemas.plan import TrainingPlan
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from tests.benchmarks._replying import received, send
from tests.benchmarks._replying import sites as named


class Meter:
    """When the first reply came, and how much memory was taken since the start."""

    def __init__(self, model_bytes: int) -> None:
        self._model_bytes = model_bytes
        self.first: float | None = None
        Path("/proc/self/clear_refs").write_text("5")
        self._idle = _status("VmRSS")

    def replied(self) -> None:
        """Note the first reply."""
        self.first = self.first or time.monotonic()

    def read(self) -> dict[str, float]:
        """Return seconds since the first reply, and copies of the model above idle."""
        seconds = time.monotonic() - (self.first or 0.0)
        return {
            "seconds": seconds,
            "copies": (_status("VmHWM") - self._idle) / self._model_bytes,
        }


def _status(name: str) -> int:
    """Return a figure of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(one.split()[1]) * 1024 for one in lines if one.startswith(f"{name}:"))


def _replying(folder: Path, count: int, kind: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "tests.benchmarks._replying", str(folder), str(count), kind]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        message = "the other process has no streams"
        raise RuntimeError(message)
    return process.stdin, process.stdout


def _shared(folder: Path, site: str, shown: bytes) -> bytes:
    """Return a site's log and cosignature, as its node would send them."""
    note = Shown.from_canonical(shown).offers[0].partition("\n\n")[2]
    key = SigningKey.load(folder / "witnesses" / site)
    lines = (folder / "journals" / site / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return Shared(
        first=0,
        events=tuple(lines),
        head=(folder / "heads" / site).read_text(encoding="utf-8"),
        cosignature=cosignature(note, name=witness_name(site), key=key, seconds=1),
    ).canonical()


def ours(folder: Path, count: int, combiner: str) -> dict[str, float]:
    """Conduct one round over signed replies of another process."""
    plan = TrainingPlan.from_canonical((folder / f"{combiner}.plan.json").read_bytes())
    contract = DataContract.from_canonical((folder / "contract.json").read_bytes())
    material = Material(plan, contract, (folder / "initial").read_bytes())
    size = len(material.initial)
    with opened(folder / "aggregator") as federation:
        name = started(federation, material)
        del material
        meter, found = Meter(size), dict[str, float]()

        def exchange(
            packet: Packet, sites: Sequence[str], *, deadline_s: float
        ) -> Iterator[tuple[str, Packet | None]]:
            del deadline_s
            if found:  # the candidate is stored: this asks for evaluations
                yield from ((site, None) for site in sites)
                return
            with _replying(folder, count, "signed") as process:
                into, out = _pipes(process)
                send(into, packet.envelope)
                for site in sites:
                    part = _shared(folder, site, packet.audit)
                    reply = Packet(received(out), received(out), audit=part)
                    meter.replied()
                    yield site, reply
                    del reply

        def observe(facts: Facts) -> None:
            if isinstance(facts, Quarantined):
                raise TypeError(facts.reason)
            if isinstance(facts, CheckpointStored):
                found.update(meter.read())

        conduct(federation, name, exchange, observe)
    return found


def flower(folder: Path, count: int) -> dict[str, float]:
    """Let Flower's FedAvg aggregate the same arrays, already in the form that its messages have."""
    from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict  # noqa: PLC0415
    from flwr.serverapp.strategy import FedAvg  # noqa: PLC0415
    from flwr.supercore.task_identity import TaskIdentity  # noqa: PLC0415

    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    layout = json.loads((folder / "layout.json").read_text())
    meter = Meter((folder / "initial").stat().st_size)
    replies: list[Any] = []
    with _replying(folder, count, "flower") as process:
        into, out = _pipes(process)
        send(into, b"")
        for _ in named(count):
            arrays = {
                name: Array("float32", (size,), "numpy.ndarray", received(out))
                for name, size in layout
            }
            meter.replied()
            metrics = MetricRecord({"num-examples": 1.0})
            content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
            replies.append(Message(content=content, dst_node_id=1, message_type="train"))
        FedAvg().aggregate_train(1, replies)
    return meter.read()


if __name__ == "__main__":
    _place, _number, _kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if _kind == "flower":
        _told = flower(_place, _number)
    else:
        _told = ours(_place, _number, sys.argv[4] if len(sys.argv) > 4 else "mean")
    print(json.dumps(_told))  # noqa: T201
