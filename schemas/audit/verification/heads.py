"""The heads of a bundle: every one that anybody signed, and who cosigned the aggregator's."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping

from schemas.audit.notes import claimed_head, cosigners, verified_head
from schemas.audit.verification.container import Container
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.parties import Parties
from schemas.errors import JournalDamaged

EVENTS, HEADS = "events.jsonl", "heads"


def signed_heads(
    container: Container, folders: Mapping[str, str], parties: Parties, findings: Findings
) -> dict[str, dict[int, set[bytes]]]:
    """Gather every head that anybody signed, by log and size."""
    heads: dict[str, dict[int, set[bytes]]] = {
        origin: defaultdict(set) for origin in (*folders, "")
    }
    for place, index, note in _notes(container, folders):
        claimed = claimed_head(note)
        origin = "" if claimed is None else claimed.origin
        key = parties.logs.get(origin)
        try:
            if key is None or origin not in folders:
                raise JournalDamaged("no log of this bundle")  # noqa: TRY301 - told below
            head = verified_head(note, origin=origin, key=key)
        except JournalDamaged:
            findings.fault(
                place, index, "a head that its log did not sign", "It was changed, or invented."
            )
            continue
        heads[origin][head.size].add(head.root)
    for origin in folders:
        if not heads[origin]:
            findings.fault(
                origin, 0, "no signed head is here", "Nothing says that its owner stands by it."
            )
    return heads


def _notes(
    container: Container, folders: Mapping[str, str]
) -> Iterator[tuple[str, int | None, str]]:
    """Yield every note of the bundle with where it stands: as a file, or in an event of a log."""
    for name in container.entries:
        if f"/{HEADS}/" in name:
            yield name, None, container.read(name).decode(errors="replace")
    for origin, folder in folders.items():
        for index, line in enumerate(container.lines(folder + EVENTS)):
            if b'"kind":"head-cosigned"' in line or b'"kind":"log-received"' in line:
                try:
                    yield origin, index, str(json.loads(line)["facts"]["head"])
                except (ValueError, KeyError, TypeError):
                    continue  # told when the log is read


def hold_quorum(
    container: Container, own: str, size: int, *, parties: Parties, findings: Findings
) -> None:
    """Hold that enough witnesses cosigned, and tell what no such head covers."""
    covered = 0
    for name in container.entries:
        if not name.startswith(f"logs/aggregator/{HEADS}/"):
            continue
        note = container.read(name).decode(errors="replace")
        head = claimed_head(note)
        found = cosigners(note, parties.witnesses)
        if head is not None and parties.is_quorum(found):
            covered = max(covered, head.size)
    if not covered:
        findings.fault(
            own,
            0,
            "no head of this log was cosigned by enough witnesses",
            "Only the aggregator's own word says that there is one history.",
        )
    elif covered < size:
        findings.remark(
            own,
            covered,
            f"events {covered} to {size - 1} came after the last head that a quorum cosigned",
            "They rest on the aggregator's signature, and on what the sites' logs say of them.",
        )
