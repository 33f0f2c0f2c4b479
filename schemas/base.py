"""The Record: a frozen value with exactly one byte form.

* Unknown fields, coercion, NaN and infinity are refused; so are sets, whose order is not defined.
* The canonical form is RFC 8785. A received record is parsed, written again and compared, which
  refuses duplicate keys, `2.0` for `2` and stray spaces.
* Human-written files are TOML and pass through the same strict JSON validation.
* A validation error names fields and rules, never the input.
"""

import json
import tomllib
from typing import ClassVar, Self

import rfc8785
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import InvalidRecord
from schemas.names import Digest, digest_of

MAX_RECORD_BYTES = 16 * 2**20
"""No record on the wire or in a file is larger; arrays travel beside records."""


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
        record = cls._parse(content)
        if record.canonical() != content:
            message = f"{cls.__name__} refused: its bytes are not in canonical form (RFC 8785)"
            raise InvalidRecord(message, next_step="send the record's canonical bytes unchanged")
        return record

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
        return cls._parse(content)

    @classmethod
    def _parse(cls, content: bytes) -> Self:
        if len(content) > MAX_RECORD_BYTES:
            message = f"{cls.__name__} refused: {len(content)} bytes, at most {MAX_RECORD_BYTES} are allowed"
            raise InvalidRecord(message, next_step="send a smaller record")
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise InvalidRecord(
                f"{cls.__name__} refused: {_faults(error)}",
                next_step="mend the named fields; docs/reference/ lists what each may hold",
            ) from None


def _brief(error: Exception) -> str:
    if isinstance(error, tomllib.TOMLDecodeError):
        return error.msg.splitlines()[0] if hasattr(error, "msg") else "syntax"
    return "a value that TOML allows and records do not, such as a date, nan or inf"


def _faults(error: ValidationError) -> str:
    """List where and why, without any input value (it may be a patient's)."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    lines = ["/" + "/".join(str(part) for part in one["loc"]) + f": {one['msg']}" for one in found]
    more = f" and {len(lines) - 8} more" if len(lines) > 8 else ""
    return "; ".join(lines[:8]) + more
