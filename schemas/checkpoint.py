"""The checkpoint manifest: a stored model, where it came from and what was decided about it."""

from typing import Literal

from pydantic import Field

from schemas.base import Record
from schemas.names import Digest, Moment, Name, SiteName


class Source(Record):
    """One site's update that went into a model."""

    site: SiteName
    update: Digest
    """Digest of the delta's bytes."""
    weight: float = Field(gt=0)


class CheckpointManifest(Record):
    """A model by the digest of its arrays, with its lineage. Round 0 holds the initial arrays."""

    arrays: Digest
    federation: Name
    run: Name
    plan: Digest
    contract: Digest
    round: int = Field(ge=0)
    parent: Digest | None
    """The model before it: last candidate, or after a roll back the accepted one; None: initial."""
    trained_from: Digest | None
    """Arrays that the sites trained from; other than `parent` under tail averaging."""
    sources: tuple[Source, ...]
    kind: Literal["initial", "candidate"]
    created: Moment
