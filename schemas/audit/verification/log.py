"""One log of a bundle, read once and event by event: hashes, sequence, times and roots.

* Beside each log stand its leaf hashes. The log's own head tells which of the two is right, so a
  changed event is named by its index.
* An event of an unknown version is held like any other; only its meaning stays open.
* Memory does not grow with the log.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

from schemas.audit.merkle import Frontier
from schemas.audit.verification.findings import Findings

Event: TypeAlias = dict[str, Any]
Seen: TypeAlias = Callable[[int, Event], None]

_MOST_FAULTS = 20
"""Told of one log; more say nothing new."""

_PREFIX = b"\x00"
_NODE = b"\x01"


@dataclass(slots=True)
class Read:
    """What a log turned out to be."""

    size: int
    roots: dict[int, bytes]
    """By size, for the sizes asked for and the whole."""


def read(
    stored: tuple[Iterable[bytes], Iterator[bytes]],
    *,
    origin: str,
    sizes: Iterable[int],
    seen: Seen,
    findings: Findings,
) -> Read:
    """Read a log's lines and leaf hashes, tell what breaks it, and return its roots."""
    stack, size, wanted, roots = list[bytes](), 0, set(sizes), dict[int, bytes]()
    sha256, loads, latest, told = hashlib.sha256, json.loads, "", 0
    for index, (line, hashed) in enumerate(zip_longest(*stored)):
        if line is None:
            findings.fault(origin, index, "events are missing at the end", "The log was cut here.")
            break
        leaf = sha256(_PREFIX + line).digest()
        try:
            event = loads(line)
            sequence, time, of = event["sequence"], event["time"], event["origin"]
            if type(sequence) is not int or type(time) is not str or type(of) is not str:
                raise TypeError  # noqa: TRY301 - told below, as any other line that is no event
        except (ValueError, KeyError, TypeError, RecursionError):
            sequence, time, of, event = None, latest, origin, None
        if (leaf != hashed or sequence != index or of != origin) and told < _MOST_FAULTS:
            told += 1
            findings.fault(origin, index, *_wrong(leaf == hashed, sequence, index, of == origin))
        if time < latest:
            findings.remark(
                origin, index, "the clock went back", "Times are the log owner's own word."
            )
        latest = time
        if event is not None:
            seen(index, event)
        bit = size
        while bit & 1:
            leaf = sha256(_NODE + stack.pop() + leaf).digest()
            bit >>= 1
        stack.append(leaf)
        size += 1
        if size in wanted:
            roots[size] = Frontier(size, tuple(stack)).root()
    roots[size] = Frontier(size, tuple(stack)).root()
    return Read(size, roots)


def hold_heads(
    read: Read, *, origin: str, heads: Mapping[int, set[bytes]], findings: Findings
) -> None:
    """Hold every head ever seen of a log against it, by size and root."""
    good = 0
    for size in sorted(heads):
        if size > read.size:
            findings.fault(
                origin,
                read.size,
                f"a head over {size} events was signed, {read.size} are here",
                "Events were cut off the end of this log.",
            )
        elif size and heads[size] != {read.roots[size]}:
            findings.fault(
                origin,
                good,
                f"events {good} to {size - 1} are not those of a head over {size} events that was "
                "signed",
                "This log was rewritten, or its owner showed different parties different histories."
                " Compare this bundle with what the sites hold.",
            )
        else:
            good = size
    if heads and good < read.size and max(heads) < read.size:
        findings.fault(
            origin,
            good,
            f"events {good} to {read.size - 1} stand under no head that counts",
            "Their owner did not sign them: they were added by somebody else.",
        )


def _wrong(is_hashed: bool, sequence: object, index: int, is_own: bool) -> tuple[str, str]:  # noqa: FBT001 - a table of three facts
    if sequence is None:
        return "what stands here is no event", "The bytes were changed after they were hashed."
    if sequence != index:
        return (
            f"event {sequence} stands here",
            "Events were deleted, repeated, swapped or inserted at this place.",
        )
    if not is_own:
        return "an event of another log", "It was copied here, or this log's name was changed."
    if not is_hashed:
        return (
            "the event is not the one that was hashed",
            "Its bytes or the stored hash were changed; the signed head tells which.",
        )
    return "an event that does not fit", "Compare it with the owner's log."


def pieces(content: Iterable[bytes], width: int) -> Iterator[bytes]:
    """Yield pieces of one width out of pieces of any; a shorter last one is yielded too."""
    rest = b""
    for one in content:
        rest += one
        end = len(rest) - len(rest) % width
        yield from (rest[place : place + width] for place in range(0, end, width))
        rest = rest[end:]
    if rest:
        yield rest
