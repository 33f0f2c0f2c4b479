"""The heads of a bundle: every one that anybody signed, and who cosigned the aggregator's."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from schemas.audit.notes import claimed_head, cosigners, verified_head, witness_name
from schemas.audit.verification.container import Container
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.key_changes import EVENTS
from schemas.audit.verification.parties import Parties
from schemas.audit.verification.reigns import Reign, Reigns
from schemas.errors import JournalDamaged

HEADS = "heads"
Trusted: TypeAlias = tuple[Parties, Reigns]


def signed_heads(
    container: Container, folders: Mapping[str, str], reigns: Reigns, findings: Findings
) -> dict[str, dict[int, set[bytes]]]:
    """Gather every head that counts, by log and size."""
    heads: dict[str, dict[int, set[bytes]]] = {
        origin: defaultdict(set) for origin in (*folders, "")
    }
    received, largest = _received(container, folders, reigns), dict[str, int]()
    for place, index, note in _notes(container, folders):
        claimed = claimed_head(note)
        origin = "" if claimed is None else claimed.origin
        reign = _reign(note, origin, reigns) if origin in folders else None
        if claimed is None or reign is None:
            findings.fault(
                place, index, "a head that its log did not sign", "It was changed, or invented."
            )
        elif reign.holds(claimed.size, received.get(note)):
            heads[origin][claimed.size].add(claimed.root)
            largest[reign.key] = max(largest.get(reign.key, 0), claimed.size)
        elif reign.is_stolen:
            findings.remark(place, index, _STOLEN, "Whoever had the key may have signed it.")
        else:
            findings.fault(
                place,
                index,
                f"a head over {claimed.size} events, signed by a key that did not count for it",
                "Its owner had replaced the key before, or not yet.",
            )
    _hold_handed_over(next(iter(folders)), reigns, largest, findings)
    for origin in folders:
        if not heads[origin]:
            findings.fault(
                origin, 0, "no signed head is here", "Nothing says that its owner stands by it."
            )
    return heads


def _received(container: Container, folders: Mapping[str, str], reigns: Reigns) -> dict[str, int]:
    """Return the first event of the aggregator's log that names each head, where that decides."""
    if not any(one.before is not None for found in reigns.logs.values() for one in found):
        return {}
    own, found = next(iter(folders)), dict[str, int]()
    for place, index, note in _notes(container, folders):
        if place == own and index is not None:
            found.setdefault(note, index)
    return found


def _hold_handed_over(
    own: str, reigns: Reigns, largest: Mapping[str, int], findings: Findings
) -> None:
    """Hold that each former key of the aggregator signed a head over its own replacement."""
    for one in reigns.logs[own][:-1]:
        if one.most is not None and largest.get(one.key, 0) < one.most:
            findings.fault(
                own,
                one.most - 1,
                "the aggregator's key was replaced, and no head that it signed covers that",
                "Whoever has the new key may have taken the log over.",
            )


_STOLEN = "a head of a key that was stolen or revoked, which had not come here before that"


def _reign(note: str, origin: str, reigns: Reigns) -> Reign | None:
    """Return the key that signed a head; None: none of its log's."""
    for one in reigns.logs.get(origin, ()):
        try:
            verified_head(note, origin=origin, key=one.key)
        except JournalDamaged:
            continue
        return one
    return None


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
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # told when the log is read


def hold_quorum(
    container: Container,
    folders: Mapping[str, str],
    size: int,
    *,
    trusted: Trusted,
    findings: Findings,
) -> None:
    """Hold that enough witnesses cosigned, and tell what no such head covers.

    A head that a quorum of sites say they cosigned, in their own logs, is here with their
    cosignatures, or a larger one is.
    """
    own, covered = next(iter(folders)), _covered(container, trusted)
    needed = _said(container, folders, trusted[0])
    if not covered:
        findings.fault(
            own,
            0,
            "no head of this log was cosigned by enough witnesses",
            "Only the aggregator's own word says that there is one history.",
        )
    elif covered < needed:
        findings.fault(
            own,
            covered,
            f"a quorum of sites cosigned a head over {needed} events by their own logs; of the "
            f"heads that are here one covers the first {covered}",
            "Cosignatures were taken out, or are not of those who say that they gave them.",
        )
    elif covered < size:
        findings.remark(
            own,
            covered,
            f"events {covered} to {size - 1} came after the last head that a quorum cosigned",
            "They rest on the aggregator's signature, and on what the sites' logs say of them.",
        )


def _covered(container: Container, trusted: Trusted) -> int:
    """Return the size of the largest head with the cosignatures of a quorum."""
    (parties, reigns), covered = trusted, 0
    for name in container.entries:
        if not name.startswith(f"logs/aggregator/{HEADS}/"):
            continue
        note = container.read(name).decode(errors="replace")
        head = claimed_head(note)
        if head is None:
            continue
        keys = reigns.cosigning((head.size, head.root))
        found = {name for one in keys for name in cosigners(note, one)}
        if parties.is_quorum(found):
            covered = max(covered, head.size)
    return covered


def _said(container: Container, folders: Mapping[str, str], parties: Parties) -> int:
    """Return the size up to which a quorum of sites say that they cosigned."""
    own, largest = next(iter(folders)), dict[str, int]()
    for place, index, note in _notes(container, folders):
        claimed = claimed_head(note)
        if index is not None and place != own and claimed is not None and claimed.origin == own:
            name = witness_name(place.removeprefix("site/"))
            largest[name] = max(largest.get(name, 0), claimed.size)
    enough = (
        size
        for size in sorted(set(largest.values()), reverse=True)
        if parties.is_quorum({name for name, its in largest.items() if its >= size})
    )
    return next(enough, 0)
