"""A released model: what a hospital gets, and all that says where it came from.

* The record is signed by the aggregator; the arrays travel beside it and are named by digest.
* Plan and contract stand in it whole, so that a hospital that did not train can use the model.
* A release whose parts do not belong together cannot be made.
* As a file it is a zip archive of two stored members; nothing in it is compressed or run.
"""

import io
import zipfile
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import MAX_RECORD_BYTES, Record
from schemas.checkpoint import CheckpointManifest
from schemas.contract import DataContract
from schemas.errors import InvalidRecord
from schemas.gate import CheckResult, Verdict
from schemas.names import Digest, Moment, Name, SiteName
from schemas.plan import TrainingPlan
from schemas.wire.packet import Packet

MAX_ARRAYS_BYTES = 2**33
"""No model file is larger."""

_RELEASE, _ARRAYS = "release.json", "model.safetensors"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class ModelRelease(Record):
    """An accepted model that met its plan's release criteria."""

    kind: Literal["model-release"] = "model-release"
    federation: Name
    manifest: CheckpointManifest
    verdict: Verdict
    """Of the gate that accepted it."""
    checks: tuple[CheckResult, ...] = Field(min_length=1)
    """Of the release criteria; each is met."""
    plan: TrainingPlan
    contract: DataContract
    issued: Moment

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        wrong = {
            "another federation": self.manifest.federation != self.federation,
            "another plan": self.manifest.plan != self.plan.digest,
            "another contract": self.manifest.contract != self.contract.digest
            or self.plan.contract.pinned != self.contract.digest,
            "another model": self.verdict.candidate != self.manifest.arrays
            or self.verdict.round != self.manifest.round,
            "no accepted model": self.verdict.outcome != "accepted",
            "a missed criterion": any(one.outcome != "accepted" for one in self.checks),
        }
        faults = [text for text, is_so in wrong.items() if is_so]
        if faults:
            message = f"the release names {', '.join(faults)}"
            raise ValueError(message)
        return self


class Receipt(Record):
    """A site's word that it holds a released model, whole and verified."""

    kind: Literal["receipt"] = "receipt"
    federation: Name
    run: Name
    site: SiteName
    release: Digest
    """Of the release's envelope."""
    arrays: Digest


def packed(packet: Packet) -> bytes:
    """Write a release as one file; equal releases give equal bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, part in ((_RELEASE, packet.envelope), (_ARRAYS, packet.body)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), part)
    return content.getvalue()


def unpacked(content: bytes) -> Packet:
    """Read a release's file; who signed it is not known yet.

    Raises:
        InvalidRecord: not such a file, or members that are compressed or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {one.filename: one for one in archive.infolist()}
            limits = {_RELEASE: 2 * MAX_RECORD_BYTES, _ARRAYS: MAX_ARRAYS_BYTES}
            fits = members.keys() == limits.keys() and len(archive.infolist()) == len(limits)
            if not fits or any(
                one.compress_type != zipfile.ZIP_STORED or one.file_size > limits[name]
                for name, one in members.items()
            ):
                raise _unreadable()
            return Packet(archive.read(_RELEASE), archive.read(_ARRAYS))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
        raise _unreadable() from None


def _unreadable() -> InvalidRecord:
    return InvalidRecord(
        "release refused: the file is not a released model as it was written",
        next_step="ask for it again: consilium export CHECKPOINT --aggregator DIR --format release",
    )
