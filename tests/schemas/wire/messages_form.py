"""The form of every message, without its words: what a change of version is told by.

Write it for the present version with `python -m tests.schemas.wire.messages_form`.
"""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from schemas.audit.events import AuditEvent
from schemas.audit.exchange import Shared, Shown
from schemas.names import Digest, digest_of
from schemas.protection.messages import AnyRequest, ExchangeReply, SelfCheck
from schemas.release import ModelRelease, Receipt
from schemas.update import Reply
from schemas.wire.envelope import Envelope
from schemas.wire.sealing import Recipient, SealedReply
from schemas.wire.version import MESSAGES_VERSION

VECTORS = Path(__file__).parents[2] / "vectors"

KINDS = (
    *(Envelope, Recipient, SealedReply, Shown, Shared, AuditEvent, SelfCheck),
    *(ModelRelease, Receipt, *get_args(AnyRequest), *get_args(Reply), *get_args(ExchangeReply)),
)
_WORDS = {"title", "description"}


def form() -> str:
    """Return the digest of each message's fields, as JSON."""
    found = {kind.__name__: _digest(_bare(TypeAdapter(kind).json_schema())) for kind in KINDS}
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def _digest(schema: Any) -> Digest:
    return digest_of(json.dumps(schema, sort_keys=True).encode())


def _bare(schema: Any) -> Any:
    """Leave out what is said for people; a field of such a name is a table, and stays."""
    if isinstance(schema, dict):
        return {
            name: _bare(part)
            for name, part in schema.items()
            if name not in _WORDS or not isinstance(part, str)
        }
    return [_bare(one) for one in schema] if isinstance(schema, list) else schema


def stored() -> Path:
    """Name the file that holds the form of the present version."""
    return VECTORS / f"messages-{MESSAGES_VERSION}.json"


if __name__ == "__main__":
    stored().write_text(form())
