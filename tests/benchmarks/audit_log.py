"""The audit log at length: appending, opening, proving and verifying.

   python -m tests.benchmarks.audit_log [--events N] [--appends N] [--json]

* Appending is measured beside a plain write and fsync of as many bytes, in turns; the difference of
  the medians is told.
* A log of a million events is written, opened after a clean stop, asked for proofs, and its
  integrity (hashes, sequence, and a head for every thousand events) is verified in a process of its
  own, whose growth in memory is told.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from schemas.audit.events import AuditEvent, Settled
from schemas.audit.journal import Journal
from schemas.audit.merkle import Frontier, leaf_hash
from schemas.audit.nodes import Nodes, completed
from schemas.audit.notes import TreeHead, signed_head
from schemas.audit.proof import proof_of
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.log import hold_heads, pieces, read
from schemas.names import now
from schemas.wire.keys import SigningKey

ORIGIN = "site/east"
_BATCH = 10_000
_HEADS = 1000


def appended(folder: Path, count: int) -> float:
    """Return the milliseconds that an event costs beyond its fsync."""
    key = SigningKey.generate()
    journal = Journal(folder / "journal", origin=ORIGIN, key=key, clock=now)
    journal.append(_fact(0))
    size_bytes = (folder / "journal" / "events.jsonl").stat().st_size
    plain, ours = list[float](), list[float]()
    with (folder / "plain").open("ab", buffering=0) as file:
        for number in range(1, count + 1):
            before = time.perf_counter()
            file.write(b"x" * size_bytes)
            os.fsync(file.fileno())
            between = time.perf_counter()
            journal.append(_fact(number))
            ours.append(time.perf_counter() - between)
            plain.append(between - before)
    journal.close()
    return 1000 * (statistics.median(ours) - statistics.median(plain))


def written(folder: Path, count: int, key: SigningKey) -> dict[int, bytes]:
    """Write a log of many events as a journal would, and return a root for every thousand."""
    nodes, frontier, end, roots = Nodes(folder / "tree"), Frontier(), 0, dict[int, bytes]()
    with (folder / "events.jsonl").open("wb") as events, (folder / "leaves").open("wb") as leaves:
        for first in range(0, count, _BATCH):
            lines, made, ends, hashes = list[bytes](), list[bytes](), list[int](), list[bytes]()
            for number in range(first, min(first + _BATCH, count)):
                line = _line(number)
                leaf, end = leaf_hash(line), end + len(line) + 1
                made.append(completed(frontier, leaf))
                frontier = frontier.appended(leaf)
                lines.append(line + b"\n")
                ends.append(end)
                hashes.append(leaf)
                if frontier.size % _HEADS == 0:
                    roots[frontier.size] = frontier.root()
            events.write(b"".join(lines))
            leaves.write(b"".join(hashes))
            nodes.write(first, b"".join(made), ends)
    nodes.close()
    head = signed_head(TreeHead(ORIGIN, frontier.size, frontier.root()), key)
    (folder / "head").write_text(head, encoding="utf-8")
    roots[frontier.size] = frontier.root()
    return roots


def opened_s(folder: Path, key: SigningKey) -> float:
    """Return how long a log takes to open after a clean stop."""
    taken = list[float]()
    for _ in range(5):
        before = time.perf_counter()
        journal = Journal(folder, origin=ORIGIN, key=key, clock=now)
        taken.append(time.perf_counter() - before)
        journal.close()
    return statistics.median(taken)


def proof_ms(folder: Path, count: int, key: SigningKey) -> float:
    """Return how long a proof takes to be made and held, in milliseconds."""
    chosen, taken = random.Random(1), list[float]()  # noqa: S311 - which event, and no secret
    for _ in range(200):
        index = chosen.randrange(count)
        before = time.perf_counter()
        proof_of(folder, index, origin=ORIGIN, key=key.public)
        taken.append(time.perf_counter() - before)
    return 1000 * statistics.median(taken)


def verified(folder: Path, roots: dict[int, bytes]) -> tuple[float, float]:
    """Return the processor seconds and the growth in MiB of verifying a log."""
    findings, before = Findings([], []), _peak_mib()
    begun = time.process_time()
    with (folder / "leaves").open("rb") as leaves:
        found = read(
            (_lines(folder / "events.jsonl"), pieces(_pieces(leaves.fileno()), 32)),
            origin=ORIGIN,
            sizes=roots,
            seen=lambda *_: None,
            findings=findings,
        )
    heads = {size: {root} for size, root in roots.items()}
    hold_heads(found, origin=ORIGIN, heads=heads, findings=findings)
    if findings.faults or found.size != max(roots):
        message = "the log that was written does not verify"
        raise AssertionError(message)
    return time.process_time() - begun, _peak_mib() - before


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line[:-1]


def _pieces(descriptor: int) -> Iterator[bytes]:
    while piece := os.read(descriptor, 1 << 20):
        yield piece


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fact(number: int) -> Settled:
    return Settled(request=f"run-20261120-101500-3f9a.{number}.train", outcome="committed")


_PATTERN = AuditEvent(
    sequence=123456789, time="2026-11-20T10:15:00.000Z", origin=ORIGIN, facts=_fact(987654321)
).canonical()


def _line(number: int) -> bytes:
    """Return an event in canonical form, without making a record a million times."""
    digits = b"%d" % number
    return _PATTERN.replace(b"123456789", digits).replace(b"987654321", digits)


def told(events: int, appends: int) -> dict[str, float]:
    """Measure everything."""
    with tempfile.TemporaryDirectory(prefix="consilium-audit-") as name:
        folder, key = Path(name), SigningKey.generate()
        append_ms = appended(folder, appends)
        log = folder / "log"
        log.mkdir()
        roots = written(log, events, key)
        open_s, proved_ms = opened_s(log, key), proof_ms(log, events, key)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak_mib = pool.apply(verified, (log, roots))
    return {
        "append_ms_beyond_fsync": append_ms,
        "verify_events_per_s": events / seconds,
        "verify_peak_mb": peak_mib,
        "proof_ms": proved_ms,
        "open_s": open_s,
    }


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="The audit log at length.")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--appends", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = told(arguments.events, arguments.appends)
    if arguments.json:
        line = json.dumps({name: round(value, 4) for name, value in figures.items()})
    else:
        line = "\n".join(f"{name:26}{value:14.4f}" for name, value in figures.items())
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
