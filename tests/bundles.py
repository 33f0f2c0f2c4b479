"""Bundles of a finished run, taken apart, changed, and signed again by whoever would lie."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aggregator.audit.bundle import BundleList, bundled
from aggregator.config import AggregatorHome
from aggregator.verification.meaning import Derived, derived
from aggregator.verification.story import story_of
from schemas.audit.merkle import grown, leaf_hash
from schemas.audit.notes import TreeHead, signed_head
from schemas.audit.verification.container import Container, packed
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.integrity import opened, verify
from schemas.names import digest_of
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from tests.masked import FOUR, made_of_four
from tests.study import PRIVATE, Study

OWN = "t/aggregator"
FOLDERS = {OWN: "logs/aggregator/"} | {f"site/{one}": f"logs/site/{one}/" for one in FOUR}
TWO_ROUNDS: dict[str, Any] = {"rounds": 2, "participation": {"quorum": 3, "deadline_s": 60.0}}
Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is over: its bundle, taken apart, and the keys of all."""

    run: str
    files: Files
    root: str
    keys: dict[str, SigningKey]
    """By origin."""

    def lines(self, origin: str) -> list[bytes]:
        return self.files[FOLDERS[origin] + "events.jsonl"].split(b"\n")[:-1]

    def listed(self, files: Files) -> Files:
        """Put a list over these files, signed by the aggregator."""
        own = {name: content for name, content in files.items() if name != "bundle.json"}
        found = BundleList(
            federation="t",
            run=self.run,
            root=self.root,
            files={name: digest_of(content) for name, content in own.items()},
        )
        return own | {"bundle.json": signed(found, self.keys[OWN])}

    def rewritten(self, origin: str, lines: list[bytes]) -> Files:
        """Put other events into a log, hashed and signed anew by its owner, and list all again."""
        folder = FOLDERS[origin]
        head = TreeHead(origin, len(lines), grown(lines).root())
        return self.listed(
            self.files
            | {
                f"{folder}events.jsonl": b"".join(line + b"\n" for line in lines),
                f"{folder}leaves": b"".join(leaf_hash(line) for line in lines),
                f"{folder}heads/own": signed_head(head, self.keys[origin]).encode(),
            }
        )


@cache
def finished() -> Finished:
    """Run a small private study of four hospitals to its end, once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="consilium-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return finished_study(made_of_four(folder, **PRIVATE | TWO_ROUNDS))


def finished_study(study: Study) -> Finished:
    """Run a study to its end."""
    study.conducted()
    return apart(study)


def apart(study: Study) -> Finished:
    """Take apart the bundle of a study's last run."""
    home = AggregatorHome(study.aggregator)
    run = max(path.parent.name for path in home.runs.glob("*/plan.json"))
    path = study.folder / "bundle.zip"
    path.write_bytes(bundled(home, run))
    container = Container(path)
    files = {name: container.read(name) for name in container.entries}
    container.close()
    keys = {OWN: SigningKey.load(home.service_key)} | {
        f"site/{site}": SigningKey.load(root / "keys" / "signing")
        for site, root in study.nodes.items()
    }
    return Finished(run, files, SigningKey.load(home.root_key).public, keys)


def held(content: bytes, folder: Path, policy: str | None = None) -> Findings:
    """Verify a bundle's integrity."""
    path = folder / "held.zip"
    path.write_bytes(content)
    bundle, findings = opened(path, policy)
    verify(bundle, findings)
    bundle.container.close()
    return findings


def understood(content: bytes, folder: Path) -> tuple[Findings, Derived]:
    """Verify a bundle's integrity and meaning."""
    path = folder / "understood.zip"
    path.write_bytes(content)
    bundle, findings = opened(path)
    story = story_of(bundle, findings)
    assert story is not None
    verify(
        bundle,
        findings,
        lambda origin, index, event: story.take(origin, index, event, findings),
    )
    result = derived(story, findings)
    bundle.container.close()
    return findings, result


def repacked(files: Files) -> bytes:
    return packed(files)


Change = Callable[[list[bytes], int], list[bytes]]

CHANGES: dict[str, Change] = {
    "deleted": lambda lines, at: lines[:at] + lines[at + 1 :],
    "duplicated": lambda lines, at: lines[: at + 1] + lines[at:],
    "swapped": lambda lines, at: [*lines[:at], *reversed(lines[at : at + 2]), *lines[at + 2 :]],
    "truncated": lambda lines, at: lines[:at],
}
