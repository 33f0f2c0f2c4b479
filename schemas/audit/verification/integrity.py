"""The integrity of a bundle: no byte of it was changed, and no history was rewritten.

1. The container has its one form, and every file the digest that the signed list gives it.
2. The roster is signed by the root key, and no key is one that fits many messages.
3. Every log has its own events only, in order, under its owner's signed head.
4. Every head of a log that anybody ever signed, cosigned or received lies in that one history, and
   was signed by the key that counted then.
5. Enough witnesses have cosigned the aggregator's log.
6. What crossed between two parties stands in both logs.

    python -m schemas.audit.verification.integrity BUNDLE [POLICY]

needs the standard library and `cryptography` alone, and ends with 0, 1 (faults) or 2 (no bundle).
"""

import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.audit.notes import aggregator_origin, site_origin
from schemas.audit.verification.container import Container, NotABundle
from schemas.audit.verification.double_entry import Entries, joined
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.heads import hold_quorum, signed_heads
from schemas.audit.verification.key_changes import EVENTS, changes, followed
from schemas.audit.verification.log import Event, Read, hold_heads, pieces, read
from schemas.audit.verification.parties import (
    Parties,
    PolicyUnfit,
    claimed,
    fingerprint,
    of_policy,
    of_roster,
    payload_of,
)
from schemas.audit.verification.reigns import Reigns, reigns_of, revoked_keys

LIST, ROSTER, PLAN = "bundle.json", "roster.json", "plan.json"
LEAVES = "leaves"

Observer = Callable[[str, int, Event], None]
"""Given a log's origin, the index and the event."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says of itself, once its list is verified."""

    container: Container
    run: str
    federation: str
    root: str
    roster: Mapping[str, Any]
    parties: Parties
    quorum: int
    reigns: Reigns

    def folders(self) -> dict[str, str]:
        """Return each log's folder by its origin, the aggregator's first."""
        return _folders(self.container, self.federation, self.roster)


def opened(path: Path, policy: str | None = None) -> tuple[Bundle, Findings]:
    """Open a bundle and hold its files against their signed list.

    Raises:
        NotABundle: another form, or a list or roster that is not signed; nothing can be said of it.
        PolicyUnfit: a policy that cannot be read.
    """
    container, findings = Container(path), Findings([], [])
    try:
        listed, roster = _signed_parts(container)
        _hold_files(container, listed["files"], findings)
        quorum = _quorum(container)
        own = of_roster(roster, needed=quorum)
        folders = _folders(container, listed["federation"], roster)
        origin = next(iter(folders))
        told = list(changes(container, folders[origin], "key-replaced"))
        parties = (
            own
            if policy is None
            else followed(of_policy(policy), own, told, origin=origin, findings=findings)
        )
        reigns = reigns_of(container, folders, parties, findings)
    except (NotABundle, PolicyUnfit):
        container.close()
        raise
    names = (listed["run"], listed["federation"], listed["root"])
    return Bundle(container, *names, roster, parties, quorum, reigns), findings


def verify(bundle: Bundle, findings: Findings, observe: Observer = lambda *_: None) -> None:
    """Hold the logs, their heads, cosignatures and entries; `observe` is shown every event."""
    folders = bundle.folders()
    heads = signed_heads(bundle.container, folders, bundle.reigns, findings)
    entries = {origin: Entries() for origin in folders}
    reads = dict[str, Read]()
    for origin, folder in folders.items():
        site = origin.removeprefix("site/") if origin.startswith("site/") else None

        def seen(index: int, event: Event, origin: str = origin, site: str | None = site) -> None:
            facts = event.get("facts")
            if isinstance(facts, dict):
                _taken(entries[origin], index, facts, site=site, log=(origin, findings))
            observe(origin, index, event)

        reads[origin] = read(
            (
                bundle.container.lines(folder + EVENTS),
                pieces(bundle.container.pieces(folder + LEAVES), 32),
            ),
            origin=origin,
            sizes=heads[origin],
            seen=seen,
            findings=findings,
        )
        hold_heads(reads[origin], origin=origin, heads=heads[origin], findings=findings)
    own = f"{bundle.federation}/aggregator"
    trusted = bundle.parties, bundle.reigns
    hold_quorum(bundle.container, folders, reads[own].size, trusted=trusted, findings=findings)
    _tell_minority(bundle, own, findings)
    sites = {one.removeprefix("site/"): entries[one] for one in folders if one != own}
    names = {"": own} | {site: site_origin(site) for site in sites}
    joined(entries[own], sites, origins=names, findings=findings)


def _folders(container: Container, federation: str, roster: Mapping[str, Any]) -> dict[str, str]:
    sites = [site_origin(one["site"]) for one in roster["members"]] + list(revoked_keys(roster))
    found = {origin: f"logs/{origin}/" for origin in sites}
    own = {aggregator_origin(federation): "logs/aggregator/"}
    return own | {key: one for key, one in found.items() if one + EVENTS in container.entries}


def _signed_parts(container: Container) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the list of files and the roster, which the root key signed that the list names.

    Raises:
        NotABundle: one of them is not signed as it must be.
    """
    content = container.read(LIST)
    root = str(claimed(content).get("root"))
    roster = payload_of(container.read(ROSTER), "Roster", root)
    if roster is None:
        message = f"{ROSTER} is not signed by the root key that {LIST} names"
        raise NotABundle(message)
    if not _is_roster(roster):
        message = f"{ROSTER} lacks what a roster must hold"
        raise NotABundle(message)
    listed = payload_of(content, "BundleList", roster["aggregator"])
    if listed is None or roster["federation"] != listed.get("federation"):
        message = f"{LIST} is not signed by the aggregator that {ROSTER} names"
        raise NotABundle(message)
    if not _are_texts(listed, "run", "federation", "root") or not isinstance(
        listed.get("files"), dict
    ):
        message = f"{LIST} lacks what the list must hold"
        raise NotABundle(message)
    return listed, roster


def _is_roster(found: object) -> bool:
    """Say whether a signed roster has the fields that are read of it."""
    if not isinstance(found, dict) or not _are_texts(found, "federation", "aggregator"):
        return False
    members, revoked = found.get("members"), found.get("revoked", [])
    return (
        isinstance(members, list)
        and isinstance(revoked, list)
        and all(_are_texts(one, "site", "key", "witness") for one in members)
        and all(_are_texts(one, "site", "key") for one in revoked)
    )


def _are_texts(fields: object, *names: str) -> bool:
    return isinstance(fields, dict) and all(isinstance(fields.get(name), str) for name in names)


def _hold_files(container: Container, files: Mapping[str, str], findings: Findings) -> None:
    """Hold every file against the list, and the list against the files."""
    for name, entry in container.entries.items():
        total, crc = hashlib.sha256(), 0
        for piece in container.pieces(name):
            total.update(piece)
            crc = zlib.crc32(piece, crc)
        if name == LIST:
            continue
        if crc != entry.crc or files.get(name) != f"sha256:{total.hexdigest()}":
            findings.fault(
                name, None, "its bytes are not those that were listed", "It was changed or added."
            )
    for name in sorted(set(files) - set(container.entries)):
        findings.fault(name, None, "it is listed and not here", "It was taken out.")


def _quorum(container: Container) -> int:
    try:
        return int(json.loads(container.read(PLAN))["participation"]["quorum"])
    except (ValueError, KeyError, TypeError, RecursionError):
        message = f"{PLAN} names no quorum"
        raise NotABundle(message) from None


def _taken(
    entries: Entries,
    index: int,
    facts: dict[str, Any],
    *,
    site: str | None,
    log: tuple[str, Findings],
) -> None:
    origin, findings = log
    if facts.get("kind") == "fork-seen":
        findings.fault(
            origin,
            index,
            "an incident: two heads of one log that cannot be of one history",
            "Its owner signed both; the notes in this event prove it.",
        )
    try:
        entries.take(index, facts, site)
    except (KeyError, TypeError):
        findings.fault(origin, index, "an event without what its kind must hold", "It was changed.")


def _tell_minority(bundle: Bundle, own: str, findings: Findings) -> None:
    witnesses = len(bundle.parties.witnesses)
    if bundle.parties.quorum == "all" and 2 * bundle.quorum <= witnesses:
        findings.remark(
            own,
            None,
            f"the plan's quorum is {bundle.quorum} of {witnesses} sites, which is no majority",
            "Two groups of sites could each have been enough for another history.",
        )


def main(arguments: list[str]) -> int:
    """Verify from the command line, without any other library."""
    if len(arguments) not in {1, 2}:
        sys.stderr.write("usage: python -m schemas.audit.verification.integrity BUNDLE [POLICY]\n")
        return 2
    try:
        text = Path(arguments[1]).read_text(encoding="utf-8") if len(arguments) > 1 else None
        bundle, findings = opened(Path(arguments[0]), text)
        verify(bundle, findings)
    except (NotABundle, PolicyUnfit, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"refused: {error}\n")
        return 2
    bundle.container.close()
    sys.stdout.write(f"root key {fingerprint(bundle.root)}\n")
    for one in findings.faults:
        sys.stdout.write(f"fault: {one}\n")
    for one in findings.remarks:
        sys.stdout.write(f"remark: {one}\n")
    sys.stdout.write("refuted\n" if findings.faults else "the bundle's integrity is verified\n")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
