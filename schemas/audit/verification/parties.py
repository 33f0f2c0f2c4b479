"""Whose keys count: those of the bundle's own roster, or those of a reviewer's policy.

* A policy is text as Sigsum and C2SP write it: `log VKEY`, `witness NAME VKEY`, `group NAME
  all|any|NUMBER MEMBER…`, `quorum NAME|none`; `#` begins a comment.
* Without a policy the keys are the roster's, which vouches for itself: a reviewer compares the root
  key's fingerprint with one that came by another way.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.audit.notes import aggregator_origin, of_vkey, site_origin, vkey, witness_name
from schemas.wire.signatures import is_signed, is_sound


class PolicyUnfit(Exception):
    """A policy that cannot be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Keys by name: of the logs by origin, of the witnesses by their name; and who is enough."""

    logs: Mapping[str, str]
    witnesses: Mapping[str, str]
    groups: Mapping[str, tuple[int, tuple[str, ...]]]
    quorum: str | None
    """Name of a witness or group; None: no cosignature is asked for."""

    def is_quorum(self, names: Collection[str]) -> bool:
        """Say whether these witnesses are enough."""
        return self.quorum is None or self._meets(self.quorum, names)

    def _meets(self, name: str, names: Collection[str]) -> bool:
        if name not in self.groups:
            return name in names
        needed, members = self.groups[name]
        return sum(self._meets(one, names) for one in members) >= needed


def of_roster(payload: Mapping[str, Any], *, needed: int) -> Parties:
    """Return the parties of a federation; `needed` of its sites are a quorum."""
    logs = {aggregator_origin(payload["federation"]): str(payload["aggregator"])}
    witnesses = {}
    for one in payload["members"]:
        logs[site_origin(one["site"])] = one["key"]
        witnesses[witness_name(one["site"])] = one["witness"]
    unsound = [name for name, key in (logs | witnesses).items() if not is_sound(key)]
    if unsound:
        message = f"a key that signs many messages at once, or none: {', '.join(unsound)}"
        raise PolicyUnfit(message)
    return Parties(logs, witnesses, {"all": (needed, tuple(witnesses))}, "all")


def of_policy(text: str) -> Parties:
    """Read a reviewer's policy.

    Raises:
        PolicyUnfit: a line that is none of a policy, or a name that is not known above it.
    """
    logs: dict[str, str] = {}
    witnesses: dict[str, str] = {}
    short: dict[str, str] = {}
    groups: dict[str, tuple[int, tuple[str, ...]]] = {}
    quorum: list[str | None] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        try:
            match words:
                case []:
                    continue
                case ["log", vkey, *_]:
                    logs |= [_sound(vkey)]
                case ["witness", name, vkey, *_]:
                    cosigner, key = _sound(vkey)
                    witnesses[cosigner], short[name] = key, cosigner
                case ["group", name, count, *members] if members:
                    known = tuple(one if one in groups else short[one] for one in members)
                    groups[name] = (_count(count, len(known)), known)
                case ["quorum", name]:
                    quorum.append(None if name == "none" else short.get(name, name))
                case _:
                    raise ValueError  # noqa: TRY301 - told below, with its line
        except (ValueError, KeyError):
            message = f"line {number} is none that a policy has"
            raise PolicyUnfit(message) from None
    known_quorum = len(quorum) == 1 and (
        quorum[0] is None or quorum[0] in groups or quorum[0] in witnesses
    )
    if not logs or not known_quorum:
        message = "it needs at least one log and exactly one quorum"
        raise PolicyUnfit(message)
    return Parties(logs, witnesses, groups, quorum[0])


def policy_text(parties: Parties) -> str:
    """Write the policy of a reviewer who trusts these parties, as `of_policy` reads it."""
    short = {
        name: name.removeprefix("site/").removesuffix("/witness") for name in parties.witnesses
    }
    lines = [f"log {vkey(origin, key)}" for origin, key in parties.logs.items()]
    lines += [
        f"witness {short[name]} {vkey(name, key, is_witness=True)}"
        for name, key in parties.witnesses.items()
    ]
    for group, (needed, members) in parties.groups.items():
        lines.append(f"group {group} {needed} {' '.join(short.get(one, one) for one in members)}")
    quorum = "none" if parties.quorum is None else short.get(parties.quorum, parties.quorum)
    return "\n".join([*lines, f"quorum {quorum}", ""])


def payload_of(envelope: bytes, kind: str, key: str) -> dict[str, Any] | None:
    """Return what an envelope says; None when it is not of this kind and key, or not exact."""
    try:
        fields = json.loads(envelope)
        if set(fields) != {"kind", "payload", "signature"} or fields["kind"] != kind:
            return None
        payload = base64.b64decode(fields["payload"], validate=True)
        signature = base64.b64decode(fields["signature"], validate=True)
        again = {
            "kind": kind,
            "payload": base64.b64encode(payload).decode(),
            "signature": base64.b64encode(signature).decode(),
        }
        found: dict[str, Any] = json.loads(payload)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if json.dumps(again, separators=(",", ":")).encode() != envelope:
        return None
    name = kind.encode()
    message = b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
    return found if is_sound(key) and is_signed(message, signature, key) else None


def claimed(envelope: bytes) -> dict[str, Any]:
    """Return what an envelope says, before its signature is known; nothing when it is none."""
    try:
        found = json.loads(base64.b64decode(json.loads(envelope)["payload"], validate=True))
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def fingerprint(key: str) -> str:
    """Name a key by its bytes."""
    return "sha256:" + hashlib.sha256(base64.b64decode(key)).hexdigest()


def _sound(vkey: str) -> tuple[str, str]:
    name, key = of_vkey(vkey)
    if not is_sound(key):
        raise ValueError
    return name, key


def _count(word: str, members: int) -> int:
    count = {"any": 1, "all": members}.get(word) or int(word)
    if not 1 <= count <= members:
        raise ValueError
    return count
