"""What a change of a contract means: patch, minor or major.

* Patch: words only. Minor: whatever conformed to the old one conforms to the new one, and training
  is the same. Major: everything else.
* A field that no rule names is major: unknown is never harmless.
* The new version must be raised at least as far as its changes need.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from schemas.base import Record
from schemas.checks import DIMENSIONS, SIGNS, Severity
from schemas.contract import DataContract
from schemas.names import Text

__all__ = ["Change", "Level", "change_of", "changes", "is_raised_enough"]

Level: TypeAlias = Literal["none", "patch", "minor", "major"]
Leaf: TypeAlias = str | int | float | bool | tuple[object, ...] | None


class Change(Record):
    """One field that differs. It names the place, never what stands there."""

    pointer: Text
    """RFC 6901; of the new contract, or of the old one where a field is gone."""
    level: Level
    reason: Text


_WORDS = (
    "/title",
    "/purpose",
    "/owner",
    "/legal_references",
    "/cohort/inclusion",
    "/cohort/exclusion",
    "/labels/source",
    "/status",
)
_LISTS = ("/image/modalities", "/image/sop_classes", "/image/photometric")
"""Any of these will do."""
_OPEN_LISTS = ("/image/views", "/image/lateralities", "/image/body_parts")
"""Any of these will do, and anything where the list is empty."""
_NEEDED = ("/image/required_attributes", "/image/forbidden_attributes")
"""All of these must be there, or must not."""
_RANGES = (
    *(f"/image/{one}" for one in ("rows", "columns", "bits_stored", "spacing_mm")),
    "/image/frames/slices",
    "/image/frames/spacing_mm",
)
_LEAST = (
    "/cohort/min_patients",
    "/cohort/min_patients_of_class",
    *(f"{one}/least" for one in _RANGES),
)
_DRIFT = "/reference"
_MOST = (f"{_DRIFT}/most_distance", *(f"{one}/most" for one in _RANGES))
_ASKED = ("/image/spacing_mm", "/image/frames/spacing_mm", _DRIFT)
"""What a contract need not ask for at all."""
_NO_CHANGE = ("/version",)
_WEIGHTS = "/checks"
"""Compared by what they mean, since an unnamed check has its usual weight."""


def _subset(one: Leaf, other: Leaf) -> bool:
    return isinstance(one, tuple) and isinstance(other, tuple) and set(one) <= set(other)


def _open_subset(one: Leaf, other: Leaf) -> bool:
    return other == () or (one != () and _subset(one, other))


def _below(one: Leaf, other: Leaf) -> bool:
    return isinstance(one, int | float) and isinstance(other, int | float) and one <= other


Rule: TypeAlias = Callable[[Leaf, Leaf], tuple[Level, str]]


def _widened(is_wider: Callable[[Leaf, Leaf], bool], wider: str, narrower: str) -> Rule:
    return lambda old, new: ("minor", wider) if is_wider(old, new) else ("major", narrower)


_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(_WORDS, lambda _old, _new: ("patch", "words")),
        **dict.fromkeys(
            _LISTS, _widened(_subset, "more is allowed", "something is no longer allowed")
        ),
        **dict.fromkeys(
            _OPEN_LISTS,
            _widened(_open_subset, "more is allowed", "something is no longer allowed"),
        ),
        **dict.fromkeys(
            _NEEDED,
            _widened(lambda old, new: _subset(new, old), "less is asked", "more is asked"),
        ),
        **dict.fromkeys(
            _LEAST, _widened(lambda old, new: _below(new, old), "a lower least", "a higher least")
        ),
        **dict.fromkeys(_MOST, _widened(_below, "a higher most", "a lower most")),
    }
)
_MEANING = "/labels/classes/"


def changes(old: DataContract, new: DataContract) -> tuple[Change, ...]:
    """List every field that differs, in the order of pointers; the version is no change."""
    before, after = dict(_leaves("", old)), dict(_leaves("", new))
    found = []
    for pointer in sorted(before.keys() | after.keys()):
        if pointer in _NO_CHANGE or (
            pointer in before and pointer in after and before[pointer] == after[pointer]
        ):
            continue
        level, reason = _judged(pointer, before, after)
        if pointer.startswith(_DRIFT) and new.severity("drift") == "warn":
            level, reason = "minor", "only warned of"
        found.append(Change(pointer=pointer, level=level, reason=reason))
    found += _weights(old, new)
    return tuple(sorted(found, key=lambda one: one.pointer))


def _weights(old: DataContract, new: DataContract) -> Iterator[Change]:
    """Compare how grave each check is, whether it is named or not."""
    for code in sorted(DIMENSIONS):
        before, after = old.check(code), new.check(code)
        if before == after:
            continue
        level, reason = _weighed(_weight(old, code), _weight(new, code), is_sign=code in SIGNS)
        listed = new.checks if after else old.checks
        place = next(index for index, one in enumerate(listed) if one.code == code)
        yield Change(pointer=f"{_WEIGHTS}/{place}", level=level, reason=f"{code}: {reason}")


def _weight(contract: DataContract, code: str) -> tuple[int, float]:
    """Return how grave a check is, and which share of it is tolerated."""
    own = contract.check(code)
    grave: tuple[Severity, ...] = ("warn", "quarantine", "block")
    return grave.index(contract.severity(code)), own.most_share if own else 0.0


def _weighed(old: tuple[int, float], new: tuple[int, float], *, is_sign: bool) -> tuple[Level, str]:
    if old == new:
        return "patch", "words"
    if is_sign:
        return "major", "other images wait for a person"
    blocks, blocked = new[0] > 0, old[0] > 0
    if blocks and (not blocked or new[1] < old[1]):
        return "major", "graver"
    return "minor", "lighter"


def _judged(
    pointer: str, before: Mapping[str, Leaf], after: Mapping[str, Leaf]
) -> tuple[Level, str]:
    if pointer == "/id":
        return "major", "another contract"
    asked = next((one for one in _ASKED if pointer.startswith(one)), "/")
    if asked in after and any(one.startswith(f"{asked}/") for one in before):
        return "minor", "no longer asked"
    if pointer not in before or pointer not in after:
        return "major", "a field of another kind"
    rule = _RULES.get(pointer)
    if rule is not None:
        return rule(before[pointer], after[pointer])
    if pointer.startswith(_MEANING) and pointer.endswith("/meaning"):
        return "patch", "words"
    return "major", "another cohort, image, label or rule"


def _leaves(pointer: str, value: object) -> Iterator[tuple[str, Leaf]]:
    """Yield each field by its pointer; a list of plain values is one field."""
    if pointer == _WEIGHTS:
        return
    if isinstance(value, Record):
        for name in type(value).model_fields:
            yield from _leaves(f"{pointer}/{name}", getattr(value, name))
    elif isinstance(value, tuple) and any(isinstance(one, Record) for one in value):
        yield f"{pointer}/length", len(value)
        for index, one in enumerate(value):
            yield from _leaves(f"{pointer}/{index}", one)
    elif isinstance(value, str | int | float | bool | tuple) or value is None:
        yield pointer, value
    else:
        message = f"a contract holds a {type(value).__name__}"
        raise TypeError(message)


def change_of(found: tuple[Change, ...]) -> Level:
    """Return the highest level of some changes."""
    levels: tuple[Level, ...] = get_args(Level)
    return max((one.level for one in found), key=levels.index, default="none")


def is_raised_enough(old: DataContract, new: DataContract, level: Level) -> bool:
    """Say whether the new version is raised as far as a change of this level needs."""
    (major, minor, patch), raised = _numbers(old), _numbers(new)
    match level:
        case "none":
            return raised >= (major, minor, patch)
        case "patch":
            return raised > (major, minor, patch)
        case "minor":
            return raised >= (major, minor + 1, 0)
        case "major":
            return old.id != new.id or raised >= (major + 1, 0, 0)


def _numbers(contract: DataContract) -> tuple[int, int, int]:
    major, minor, patch = map(int, contract.version.split("."))
    return major, minor, patch
