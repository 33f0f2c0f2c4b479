"""A proof that one event stands in a log (c2sp.org/tlog-proof), with the event itself before it."""

import base64
import json
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from schemas.audit.merkle import inclusion_proof, is_included, leaf_hash, node_hash
from schemas.audit.nodes import END_BYTES, HASH_BYTES, place_of
from schemas.audit.notes import TreeHead, verified_head
from schemas.errors import InputRefused, JournalDamaged

FORM = "c2sp.org/tlog-proof@v1"
"""A proof's first line."""


@dataclass(frozen=True, slots=True)
class Proof:
    """An event with its path to a signed head."""

    event: bytes
    index: int
    path: tuple[bytes, ...]
    head: TreeHead
    note: str

    def text(self) -> str:
        """Write the proof; its extra line is the event."""
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in self.path)
        extra = base64.b64encode(self.event).decode()
        return f"{FORM}\nextra {extra}\nindex {self.index}\n{hashes}\n{self.note}"


def proof_of(folder: Path, index: int, *, origin: str, key: str) -> Proof:
    """Prove an event of a log, without reading the others.

    Raises:
        InputRefused: the signed head does not cover an event of this index.
        JournalDamaged: the stored nodes do not lead to the signed head.
    """
    note = (folder / "head").read_text(encoding="utf-8")
    head = verified_head(note, origin=origin, key=key)
    if not 0 <= index < head.size:
        message = f"proof refused: event {index} is not under the head of {head.size} events"
        raise InputRefused(message, next_step=f"name one from 0 to {head.size - 1}")
    event, path = _stored(folder, index, head.size)
    proof = Proof(event, index, tuple(path), head, note)
    if not is_included(leaf_hash(event), index, size=head.size, root=head.root, proof=path):
        message = "proof refused: the stored nodes do not lead to the signed head"
        raise JournalDamaged(message, next_step="run: aggregator audit verify --home DIR")
    return proof


def read_proof(text: str, *, origin: str, key: str) -> Proof:
    """Read a proof and hold it.

    Raises:
        InputRefused: another form.
        JournalDamaged: a head that this key did not sign, a path that does not lead to it, or an
            event that says that it stands elsewhere.
    """
    above, _, note = text.partition("\n\n")
    try:
        form, extra, place, *hashes = above.split("\n")
        event = base64.b64decode(extra.removeprefix("extra "), validate=True)
        index = int(place.removeprefix("index "))
        path = tuple(base64.b64decode(one, validate=True) for one in hashes)
    except ValueError:
        form, event, index, path = "", b"", 0, ()
    if form != FORM:
        message = f"proof refused: the file is none of the form {FORM}"
        raise InputRefused(message, next_step="ask for the proof again")
    head = verified_head(note, origin=origin, key=key)
    if not is_included(leaf_hash(event), index, size=head.size, root=head.root, proof=path):
        raise _refuted("its path does not lead from the event to the head")
    if _place(event) != (origin, index):
        raise _refuted("its event says that it stands at another place")
    return Proof(event, index, path, head, note)


def _place(event: bytes) -> tuple[object, object]:
    try:
        told = json.loads(event)
        return told["origin"], told["sequence"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, None


def _refuted(found: str) -> JournalDamaged:
    message = f"proof refused: {found}"
    return JournalDamaged(message, next_step="ask for the proof again, and say what was found")


def _stored(folder: Path, index: int, size: int) -> tuple[bytes, list[bytes]]:
    """Read an event and its path by the stored nodes, or anew from the events without them."""
    try:
        tree = folder / "tree"
        with (tree / "nodes").open("rb") as nodes, (tree / "ends").open("rb") as ends:

            def node(level: int, place: int) -> bytes:
                found = os.pread(nodes.fileno(), HASH_BYTES, HASH_BYTES * place_of(level, place))
                return _whole(found)

            path = inclusion_proof(index, size, node)
            both = os.pread(ends.fileno(), 2 * END_BYTES, max(0, END_BYTES * (index - 1)))
        values = [int.from_bytes(both[at : at + END_BYTES]) for at in (0, END_BYTES)]
        start, end = (0, values[0]) if index == 0 else (values[0], values[1])
        with (folder / "events.jsonl").open("rb") as events:
            events.seek(start)
            return events.read(end - start)[:-1], path
    except (OSError, LookupError):
        return _anew(folder, index, size)


def _whole(found: bytes) -> bytes:
    if len(found) != HASH_BYTES:
        message = "a file of nodes ends too early"
        raise LookupError(message)
    return found


def _anew(folder: Path, index: int, size: int) -> tuple[bytes, list[bytes]]:
    with (folder / "events.jsonl").open("rb") as file:
        lines = [line.rstrip(b"\n") for line in islice(file, size)]
    leaves = [leaf_hash(line) for line in lines]

    def node(level: int, place: int) -> bytes:
        if level == 0:
            return leaves[place]
        return node_hash(node(level - 1, 2 * place), node(level - 1, 2 * place + 1))

    return lines[index], inclusion_proof(index, size, node)
