"""Which key counts for which part of a log: keys are replaced, and those that were stolen end.

1. A replaced key signs heads up to the event in its own log that says so; the new one goes on.
   Where a site's log does not say so, yet, its new key signs nothing, and of the former one those
   heads count that the aggregator's log had received before it said so.
2. Of a key that was compromised or revoked, those heads count that the aggregator's log had
   received before it said so, and no other, whatever they say.
3. A site cosigns the aggregator's log with its old witness key up to the event in that log, and
   with its new one from there on. A compromised one's cosignature counts where the site's own log
   had noted it before.
4. Each key follows from the one before, which signed for it: a site's key the request to be
   replaced, the aggregator's a head over the event. The last is the one that is trusted now.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from schemas.audit.notes import claimed_head, site_origin, witness_name
from schemas.audit.verification.container import Container
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.key_changes import (
    AGGREGATOR,
    Change,
    changes,
    hold_asked,
    hold_chain,
    is_of,
    replaced_of,
)
from schemas.audit.verification.parties import Parties

Head: TypeAlias = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Reign:
    """A log's key, and the heads that it may sign."""

    key: str
    least: int | None = 0
    """Size of the smallest head; None: its log does not name this key yet, so it signs none."""
    most: int | None = None
    """Size of the largest head; None: there is no end yet."""
    before: int | None = None
    """Only heads that the aggregator's log received before this event."""
    is_stolen: bool = False
    """What does not count may be a thief's, and then refutes nothing."""

    def holds(self, size: int, received: int | None) -> bool:
        """Say whether a head of this size counts, received at an index of the aggregator's log."""
        if self.least is None:
            return False
        if self.before is not None:
            return received is not None and received < self.before
        return self.least <= size and (self.most is None or size <= self.most)


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness key, and the heads of the aggregator's log that it may cosign."""

    key: str
    least: int = 0
    most: int | None = None
    noted: frozenset[Head] | None = None
    """A stolen key: only these heads, which the site's own log had noted before."""

    def holds(self, head: Head) -> bool:
        """Say whether its cosignature of a head counts."""
        if self.noted is not None:
            return head in self.noted
        return self.least <= head[0] and (self.most is None or head[0] <= self.most)


@dataclass(frozen=True, slots=True)
class Reigns:
    """Every key that ever counted: of logs by origin, of witnesses by name; the last one last."""

    logs: Mapping[str, tuple[Reign, ...]]
    witnesses: Mapping[str, tuple[Cosigner, ...]]

    def signers(self, origin: str) -> tuple[str, ...]:
        """Return the keys that a party ever signed with."""
        return tuple(one.key for one in self.logs.get(origin, ()))

    def cosigning(self, head: Head) -> Iterator[Mapping[str, str]]:
        """Yield witness keys by name that count for a head, one key of each name at a time."""
        longest = max((len(found) for found in self.witnesses.values()), default=0)
        for place in range(longest):
            yield {
                name: found[place].key
                for name, found in self.witnesses.items()
                if place < len(found) and found[place].holds(head)
            }


def reigns_of(
    container: Container, folders: Mapping[str, str], parties: Parties, findings: Findings
) -> Reigns:
    """Read which keys counted when; whatever does not follow is a fault."""
    own = next(one for one, folder in folders.items() if folder.endswith(f"/{AGGREGATOR}/"))
    told = list(changes(container, folders[own], "key-replaced", "revoked"))
    hold_asked(container, own, told, findings)
    logs = {own: _own_reigns(parties.logs[own], told)}
    hold_chain(own, parties.logs[own], replaced_of(told, AGGREGATOR), findings)
    witnesses = dict[str, tuple[Cosigner, ...]]()
    for origin, folder in folders.items():
        site = origin.removeprefix("site/")
        if origin == own:
            continue
        mine = list(changes(container, folder, "key-replaced", "head-cosigned"))
        replaced = replaced_of(told, site)
        revoked = [one for one in told if is_of(one, site, "revoked")]
        key = parties.logs.get(origin) or next((one.facts["key"] for one in revoked[-1:]), None)
        if key is None:
            continue  # a policy without this log: each of its heads will be told
        logs[origin] = _site_reigns(key, replaced, revoked, mine=mine)
        _hold_known(origin, mine, replaced, findings)
        if origin in parties.logs:
            hold_chain(own, key, replaced, findings)
        name = witness_name(site)
        if name in parties.witnesses:
            witnesses[name] = _cosigners(parties.witnesses[name], replaced, mine)
    return Reigns(logs, witnesses)


def revoked_keys(roster: Mapping[str, Any]) -> dict[str, str]:
    """Return the last key of each site that was revoked and is no member, by its log's origin."""
    members = {one["site"] for one in roster["members"]}
    gone = {site_origin(one["site"]): str(one["key"]) for one in roster.get("revoked", ())}
    return {one: key for one, key in gone.items() if one.removeprefix("site/") not in members}


def _own_reigns(key: str, told: list[Change]) -> tuple[Reign, ...]:
    found, least = list[Reign](), 0
    for one in replaced_of(told, AGGREGATOR):
        found.append(Reign(str(one.facts["old"]), least, one.index + 1))
        least = one.index + 1
    return (*found, Reign(key, least))


def _site_reigns(
    key: str, replaced: list[Change], revoked: list[Change], *, mine: list[Change]
) -> tuple[Reign, ...]:
    found: list[Reign] = []
    least: int | None = 0
    for one in replaced:
        at = _noted_at(mine, one)
        most = None if at is None else at + 1
        before = one.index if one.is_stolen or at is None else None
        found.append(Reign(str(one.facts["old"]), least, most, before, one.is_stolen))
        least = most
    ends = [one.index for one in revoked if one.facts["key"] == key]
    return (*found, Reign(key, least, None, ends[-1] if ends else None, bool(ends)))


def _cosigners(key: str, replaced: list[Change], mine: list[Change]) -> tuple[Cosigner, ...]:
    found, least = list[Cosigner](), 0
    for one in replaced:
        old, at = str(one.facts["old_witness"]), _noted_at(mine, one)
        noted = _cosigned(mine, at) if one.is_stolen else None
        found.append(Cosigner(old, least, one.index, noted))
        least = one.index
    return (*found, Cosigner(key, least))


def _cosigned(mine: list[Change], until: int | None) -> frozenset[Head]:
    notes = (
        claimed_head(str(one.facts["head"]))
        for one in mine
        if one.facts["kind"] == "head-cosigned" and (until is None or one.index < until)
    )
    return frozenset((head.size, head.root) for head in notes if head is not None)


def _noted_at(mine: list[Change], change: Change) -> int | None:
    """Return where a log says itself that its key was replaced; None: it does not, yet."""
    pair = (change.facts["old"], change.facts["new"])
    found = (one for one in mine if one.facts["kind"] == "key-replaced")
    return next((one.index for one in found if (one.facts["old"], one.facts["new"]) == pair), None)


def _hold_known(
    origin: str, mine: list[Change], replaced: list[Change], findings: Findings
) -> None:
    known = {(one.facts["old"], one.facts["new"]) for one in replaced}
    for one in mine:
        is_change = one.facts["kind"] == "key-replaced"
        if is_change and (one.facts["old"], one.facts["new"]) not in known:
            findings.fault(
                origin,
                one.index,
                "its key was replaced, and the aggregator's log does not say so",
                "Nobody approved the new key.",
            )
