"""The events that end a key, and whether each new key was asked for by the one before.

* A site's former key signed the request that names the new keys; the request is in the bundle.
* A reviewer's policy may name keys of before a planned replacement: it is followed to the present
  ones, and told. A key that was stolen since vouches for none.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from schemas.audit.notes import witness_name
from schemas.audit.verification.container import Container
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.parties import Parties, PolicyUnfit, claimed, payload_of
from schemas.wire.signatures import is_sound

EVENTS = "events.jsonl"
AGGREGATOR = "aggregator"
ROTATIONS = "rotations/"
Facts: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """An event that ends a key."""

    index: int
    facts: Facts

    @property
    def is_stolen(self) -> bool:
        """Whether somebody else may have the key."""
        return self.facts["kind"] == "revoked" or self.facts.get("reason") == "compromised"


def replaced_of(told: Iterable[Change], party: str) -> list[Change]:
    """Return the replacements of a party's keys, in order."""
    return [one for one in told if is_of(one, party, "key-replaced")]


def is_of(one: Change, party: str, kind: str) -> bool:
    """Say whether a change is of this kind, and of this party."""
    return bool(one.facts["kind"] == kind and one.facts["party"] == party)


def changes(container: Container, folder: str, *kinds: str) -> Iterator[Change]:
    """Yield a log's events of some kinds; what is none of them is told when the log is read."""
    tags = [f'"kind":"{kind}"'.encode() for kind in kinds]
    for index, line in enumerate(container.lines(folder + EVENTS)):
        if any(tag in line for tag in tags):
            try:
                facts = json.loads(line)["facts"]
                if facts["kind"] in kinds and _is_whole(facts):
                    yield Change(index, facts)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue


def _is_whole(facts: Facts) -> bool:
    needed = {
        "key-replaced": ("party", "old", "new", "old_witness", "new_witness"),
        "revoked": ("party", "key"),
        "head-cosigned": ("head",),
    }
    return all(name in facts for name in needed[facts["kind"]])


def hold_asked(container: Container, own: str, told: list[Change], findings: Findings) -> None:
    """Hold that each replaced key of a site signed the request for those that came after it."""
    contents = [container.read(name) for name in container.entries if name.startswith(ROTATIONS)]
    for one in told:
        facts = one.facts
        if facts["kind"] != "key-replaced" or facts["party"] == AGGREGATOR:
            continue
        if not any(_asks(content, facts) for content in contents):
            findings.fault(
                own,
                one.index,
                f"the keys of {facts['party']} were replaced, and its former key did not ask for "
                "that",
                "Whoever keeps the roster may have put keys of their own in the place of a site's.",
            )


def _asks(content: bytes, facts: Facts) -> bool:
    asked = payload_of(content, "KeyRotation", str(facts["old"])) or {}
    wanted = claimed(str(asked.get("request")).encode())
    return (asked.get("site"), asked.get("replaces")) == (facts["party"], facts["old"]) and (
        wanted.get("site"),
        wanted.get("key"),
        wanted.get("witness"),
    ) == (facts["party"], facts["new"], facts["new_witness"])


def followed(
    policy: Parties, own: Parties, told: list[Change], *, origin: str, findings: Findings
) -> Parties:
    """Return a policy's parties, with the keys that go on in the place of those it names.

    `own`: the parties of the bundle's roster. A key that is none of the policy's, and follows from
    none of them, is a fault.

    Raises:
        PolicyUnfit: it names no key of the aggregator's log.
    """
    if origin not in policy.logs:
        message = f"it names no key of the log {origin}"
        raise PolicyUnfit(message)
    logs, witnesses = dict(policy.logs), dict(policy.witnesses)
    for name, key in own.logs.items():
        party = AGGREGATOR if name == origin else name.removeprefix("site/")
        steps = _steps(replaced_of(told, party), ("old", "new"), since=logs.get(name, ""))
        if _follows(name, steps, key, pinned=logs.get(name), log=(origin, findings)):
            logs[name] = key
    by_witness = {witness_name(one.removeprefix("site/")): one for one in own.logs}
    for name, key in own.witnesses.items():
        party = by_witness[name].removeprefix("site/")
        words = ("old_witness", "new_witness")
        steps = _steps(replaced_of(told, party), words, since=witnesses.get(name, ""))
        if _follows(name, steps, key, pinned=witnesses.get(name), log=(origin, findings)):
            witnesses[name] = key
    return replace(policy, logs=logs, witnesses=witnesses)


def _steps(
    replaced: list[Change], words: tuple[str, str], *, since: str
) -> list[tuple[Change, str]]:
    """Return the replacements after a key, each with the key that came."""
    old, new = words
    start = next((at for at, one in enumerate(replaced) if one.facts[old] == since), len(replaced))
    return [(one, str(one.facts[new])) for one in replaced[start:]]


def _follows(
    name: str,
    steps: list[tuple[Change, str]],
    key: str,
    *,
    pinned: str | None,
    log: tuple[str, Findings],
) -> bool:
    """Say whether the key that counts now goes on in the place of the pinned one; tell what is."""
    origin, findings = log
    if pinned == key:
        return True
    if not steps or steps[-1][1] != key:
        findings.fault(
            name,
            None,
            "its key is not the one of the policy, and does not follow from it",
            "It is another party.",
        )
        return False
    index = steps[-1][0].index
    if any(one.is_stolen for one, _ in steps):
        findings.fault(
            name,
            None,
            f"the policy's key was replaced as stolen since ({origin}, event {index})",
            "Whoever has it may have made this bundle: get the new key by another way.",
        )
        return False
    findings.remark(
        name,
        None,
        f"the policy's key was replaced as planned since ({origin}, event {index})",
        "The former key signed for the new one. Put the new one into the policy.",
    )
    return True


def hold_chain(own: str, key: str, replaced: list[Change], findings: Findings) -> None:
    """Hold that each key follows from the one before, and that the last one is the present one."""
    keys = [*(str(one.facts["old"]) for one in replaced), key]
    for one, following in zip(replaced, keys[1:], strict=True):
        new = str(one.facts["new"])
        if new != following or not is_sound(new) or not is_sound(str(one.facts["old"])):
            findings.fault(
                own,
                one.index,
                f"the new key of {one.facts['party']} is not the one that counts after it",
                "A key was put between two others, or taken out.",
            )
