"""The Record: a frozen value with exactly one byte form.

* Unknown fields, coercion, NaN and infinity are refused; so are sets, whose order is not defined.
* The canonical form is RFC 8785. A received record is parsed, written again and compared, which
  refuses duplicate keys, `2.0` for `2` and stray spaces.
* Human-written files are TOML and pass through the same strict JSON validation.
* A validation error names fields and rules, never the input.
"""

import json
import re
import tomllib
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, ClassVar, Self, get_args, get_origin

import rfc8785
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import IntegrityLost, InvalidRecord, OtherVersion
from schemas.names import Digest, digest_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_RECORD_BYTES = 16 * 2**20
"""No record on the wire is larger, and few in a file; arrays travel beside records."""

_SHOWN_FAULTS = 8
_FIELD = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What may be shown of an unknown field's name; anything else is no name, and shown as `?`."""


class Record(BaseModel):
    """A frozen, strict, finite value that is compared and named by its canonical bytes."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
    )

    MAX_BYTES: ClassVar[int] = MAX_RECORD_BYTES
    """Of its canonical form; what is longer is refused unread."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Refuse a field that holds a set: it has no order, and so no canonical form."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if _holds_set(field.annotation):
                message = f"{cls.__name__}.{name} holds a set, which has no canonical form"
                raise TypeError(message)

    def canonical(self) -> bytes:
        """Return the RFC 8785 bytes of this record."""
        return rfc8785.dumps(self.model_dump(mode="json"))

    @property
    def digest(self) -> Digest:
        """Name this record by its canonical bytes."""
        return digest_of(self.canonical())

    @classmethod
    def from_canonical(cls, content: bytes) -> Self:
        """Parse received bytes and refuse any form but the canonical one.

        Raises:
            InvalidRecord: wrong fields, too large, or bytes that are not RFC 8785.
        """
        record, canonical = cls._parsed(content)
        if canonical != content:
            message = f"{cls.__name__} refused: its bytes are not in canonical form (RFC 8785)"
            raise InvalidRecord(message, next_step="send the record's canonical bytes unchanged")
        return record

    @classmethod
    def from_stored(cls, content: bytes, *, what: str) -> Self:
        """Parse what this software wrote to disk; `what` names it for people.

        Raises:
            OtherVersion: another version of this software wrote it.
            IntegrityLost: it is damaged.
        """
        try:
            return cls.from_canonical(content)
        except InvalidRecord as error:
            if error.is_other_version:
                raise OtherVersion(what) from None
            message = f"{what} refused: its bytes are not what was written"
            next_step = "stop, keep the file, and restore this home from a backup"
            raise IntegrityLost(message, next_step=next_step) from None

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Parse a human-written TOML file.

        Raises:
            InvalidRecord: not TOML, or fields that do not fit.
        """
        try:
            table = tomllib.loads(text)
            content = json.dumps(table, allow_nan=False).encode()
        except (tomllib.TOMLDecodeError, TypeError, ValueError, RecursionError) as error:
            message = f"{cls.__name__} refused: the file is not plain TOML ({_brief(error)})"
            raise InvalidRecord(message, next_step="mend the named line and try again") from None
        return cls._parsed(content)[0]

    @classmethod
    def _parsed(cls, content: bytes) -> tuple[Self, bytes]:
        """Return the record and its canonical bytes."""
        if len(content) > cls.MAX_BYTES:
            found = f"{len(content)} bytes, at most {cls.MAX_BYTES} are allowed"
            raise InvalidRecord(f"{cls.__name__} refused: {found}", next_step="send less at once")
        try:
            record = cls.model_validate_json(content)
            return record, record.canonical()
        except ValidationError as error:
            found = _faults(error)
            is_other = is_other_version(error, cls) and _is_canonical(content)
        except rfc8785.CanonicalizationError:
            found, is_other = "a whole number beyond 2^53, which JSON does not carry exactly", False
        refused = InvalidRecord(
            f"{cls.__name__} refused: {found}",
            next_step="mend the named fields; docs/reference/ lists what each may hold",
        )
        refused.is_other_version = is_other
        raise refused


def _is_canonical(content: bytes) -> bool:
    try:
        return rfc8785.dumps(json.loads(content)) == content
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return False


def is_other_version(error: ValidationError, kind: type[BaseModel]) -> bool:
    """Say whether a record's only faults are fields, or kinds, that this version has otherwise.

    One without any field that this version needs is damaged, not another version's.
    """
    faults = error.errors(include_input=False, include_url=False)
    needed = {(name,) for name, field in kind.model_fields.items() if field.is_required()}
    missing = {one["loc"] for one in faults if one["type"] == "missing"}
    types = {one["type"] for one in faults}
    return types <= {"missing", "extra_forbidden", "union_tag_invalid"} and not needed <= missing


def _holds_set(annotation: object) -> bool:
    kind = get_origin(annotation) or annotation
    is_set = isinstance(kind, type) and issubclass(kind, AbstractSet)
    return is_set or any(_holds_set(one) for one in get_args(annotation))


def _brief(error: Exception) -> str:
    """Say where the syntax breaks, and nothing of what stands there."""
    if isinstance(error, tomllib.TOMLDecodeError):
        place = re.search(r"at line \d+, column \d+|at end of document", str(error))
        return f"syntax {place.group()}" if place else "syntax"
    return "a value that TOML allows and records do not, such as a date, nan or inf"


def _faults(error: ValidationError) -> str:
    """List where and why, without any input value (it may be a patient's)."""
    found = error.errors(include_input=False, include_url=False)
    lines = [f"{_place(one)}: {_rule(one)}" for one in found[:_SHOWN_FAULTS]]
    more = f" and {len(found) - _SHOWN_FAULTS} more" if len(found) > _SHOWN_FAULTS else ""
    return "; ".join(lines) + more


def _place(fault: "ErrorDetails") -> str:
    parts = (str(part) for part in fault["loc"])
    return "/" + "/".join(part if _FIELD.fullmatch(part) else "?" for part in parts)


def _rule(fault: "ErrorDetails") -> str:
    if fault["type"] == "union_tag_invalid":  # pydantic's own words repeat the tag that was found
        return "{discriminator} should be one of {expected_tags}".format(**fault["ctx"])
    return fault["msg"]
