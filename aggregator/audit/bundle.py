"""Packing what a reviewer needs into one file, with nothing private in it.

* It holds the aggregator's log and every site's, as far as a signed head covers each, every head
  that was ever shown with its cosignatures, the sites' requests to replace their keys, roster,
  plan, contract, the manifests of the run's models and the sites' signed evaluations and
  conformance reports. No array, image or private detail is in it.
* Packing reads only, also while another command owns the home.
"""

from collections.abc import Iterator
from pathlib import Path

from aggregator.audit.evaluations import folder_of
from aggregator.audit.logs import EVENTS, HEAD
from aggregator.audit.witness import Witnesses
from aggregator.checkpoints.store import CheckpointStore
from aggregator.config import AggregatorHome, load_config, load_root
from aggregator.conformance import kept
from schemas.audit.events import CheckpointStored
from schemas.audit.lines import facts_in
from schemas.audit.merkle import leaf_hash
from schemas.audit.notes import claimed_head
from schemas.audit.verification.container import packed
from schemas.base import Record
from schemas.enrolment import Roster
from schemas.errors import InputRefused, JournalDamaged
from schemas.names import Digest, Name, PublicKey, digest_of
from schemas.wire.envelope import opened, signed
from schemas.wire.keys import SigningKey

_README = """\
Everything that is needed to check one run of a federation, offline:

    consilium verify {run}.bundle.zip

or, with nothing but Python and its library `cryptography`, the integrity alone:

    python -m schemas.audit.verification.integrity {run}.bundle.zip

Compare the root key's fingerprint, which both print, with the one you were given by another way.
logs/ holds each party's log, line by line, with the hash of each line (leaves) and signed heads.
"""


class BundleList(Record):
    """What a bundle holds, by digest; the aggregator signs it."""

    federation: Name
    run: Name
    root: PublicKey
    """The key that signed the roster."""
    files: dict[str, Digest]


def bundled(home: AggregatorHome, run: Name) -> bytes:
    """Return the bundle of a run.

    Raises:
        InputRefused: no such run.
        JournalDamaged: a log without a head, or with fewer events than its head covers.
    """
    folder = home.runs / run
    if not (folder / "plan.json").exists():
        message = f"bundle refused: there is no run {run} here"
        known = sorted(path.parent.name for path in home.runs.glob("*/plan.json"))
        raise InputRefused(message, next_step=f"name one of: {', '.join(known[-5:]) or 'none'}")
    root = load_root(home)
    roster = opened(home.roster.read_bytes(), Roster, key=root)
    files = {
        "README.txt": _README.format(run=run).encode(),
        "roster.json": home.roster.read_bytes(),
        "plan.json": (folder / "plan.json").read_bytes(),
        "contract.json": (folder / "contract.json").read_bytes(),
    }
    lines = _log(files, home.journal, "logs/aggregator")
    files |= _shown(home, len(lines))
    files |= {f"rotations/{one.name}": one.read_bytes() for one in home.rotations.glob("*.json")}
    sites = {one.site for one in roster.members} | {one.site for one in roster.revoked}
    for site in sorted(sites):
        if (home.logs / site / HEAD).exists():
            _log(files, home.logs / site, f"logs/site/{site}")
    files |= _manifests(home, run, lines)
    for path in sorted(folder_of(home, run).glob("*.json")):
        files[f"evaluations/{path.name}"] = path.read_bytes()
    contract = digest_of(files["contract.json"])
    for site in sorted(sites):
        for path in kept(home, contract, site):
            files[f"conformance/{path.name}"] = path.read_bytes()
    listed = BundleList(
        federation=load_config(home).federation,
        run=run,
        root=root,
        files={name: digest_of(content) for name, content in files.items()},
    )
    files["bundle.json"] = signed(listed, SigningKey.load(home.service_key))
    return packed(files)


def _log(files: dict[str, bytes], folder: Path, name: str) -> list[bytes]:
    """Add a log as far as its head covers it; return its lines."""
    note = (folder / HEAD).read_text(encoding="utf-8")
    head = claimed_head(note)
    lines = (folder / EVENTS).read_bytes().split(b"\n")[:-1]
    if head is None or len(lines) < head.size:
        message = f"bundle refused: {name} has fewer events than its signed head covers"
        raise JournalDamaged(message, next_step="run once more: the sites send again what is lost")
    lines = lines[: head.size]
    files[f"{name}/events.jsonl"] = b"".join(line + b"\n" for line in lines)
    files[f"{name}/leaves"] = b"".join(leaf_hash(line) for line in lines)
    files[f"{name}/heads/own"] = note.encode()
    return lines


def _shown(home: AggregatorHome, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield the heads that were shown, and those over changes of the roster."""
    witnesses = Witnesses(home.witnesses)
    for kind, notes in (("", witnesses.notes()), ("roster-", witnesses.changes())):
        for note in notes:
            head = claimed_head(note)
            if head is not None and head.size <= size:
                yield f"logs/aggregator/heads/{kind}{head.size:012d}", note.encode()


def _manifests(home: AggregatorHome, run: Name, lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the manifests of the run's models that the log names."""
    store = CheckpointStore(home.checkpoints / "objects")
    for facts in facts_in(lines, CheckpointStored):
        if isinstance(facts, CheckpointStored) and facts.run == run:
            content = store.manifest(facts.manifest).canonical()
            yield f"checkpoints/{facts.manifest.removeprefix('sha256:')}.json", content
