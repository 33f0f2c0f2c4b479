"""Models by the digest of their bytes, each with the manifest that says where it came from.

* An object's name is the SHA-256 of its content; reading verifies it.
* An object is written whole or not at all, and never changed; writing it again changes nothing.
* Arrays are there before the manifest that names them. One model may have several manifests: two
  runs of a plan start from the same arrays.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aggregator.aggregation.spool import Vector
from schemas.checkpoint import CheckpointManifest
from schemas.errors import ArraysRefused, CheckpointDamaged, InvalidRecord, OtherVersion
from schemas.files import write_durably
from schemas.names import Digest, digest_of
from schemas.wire.arrays import flat_values, header
from schemas.wire.layout import Layout


def written(layout: Layout, vector: Vector) -> bytes:
    """Return the canonical safetensors bytes of a model.

    Raises:
        ArraysRefused: a value is not finite; such a model is never stored.
    """
    if vector.shape != (sum(one.size for one in layout),) or vector.dtype != np.float32:
        message = f"a {vector.dtype} vector of shape {vector.shape} does not fit the layout"
        raise ValueError(message)
    if not np.isfinite(vector).all():
        message = (
            "checkpoint refused: it holds values that are not finite, only finite ones are allowed"
        )
        raise ArraysRefused(message, next_step="look for the update that the gate let through")
    values = np.ascontiguousarray(vector, dtype="<f4")
    return b"".join((header(layout), values.data.cast("B")))


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """A folder of objects: HEX.safetensors and HEX.json."""

    folder: Path

    def keep_arrays(self, content: bytes) -> Digest:
        """Store the bytes of arrays that were checked already, such as a plan's initial ones."""
        digest = digest_of(content)
        self._write(digest, "safetensors", content)
        return digest

    def describe(self, manifest: CheckpointManifest) -> Digest:
        """Store the manifest of a model that is kept already, and return the manifest's digest."""
        if not self._path(manifest.arrays, "safetensors").exists():
            message = "the manifest names arrays that are not kept"
            raise ValueError(message)
        self._write(manifest.digest, "json", manifest.canonical())
        return manifest.digest

    def holds(self, digest: Digest) -> bool:
        """Say whether arrays of this digest are kept; reading them verifies their bytes."""
        return self._path(digest, "safetensors").exists()

    def arrays(self, digest: Digest) -> bytes:
        """Return the bytes of a model.

        Raises:
            CheckpointDamaged: missing, truncated or changed.
        """
        return self._read(digest, "safetensors")

    def vector(self, digest: Digest, layout: Layout) -> Vector:
        """Return the values of a model, read-only.

        Raises:
            CheckpointDamaged: missing, truncated or changed.
            ArraysRefused: intact, but of another layout.
        """
        return flat_values(self.arrays(digest), layout)

    def manifest(self, digest: Digest) -> CheckpointManifest:
        """Return a manifest by its own digest; the registry knows it for a run's model.

        Raises:
            CheckpointDamaged: missing, truncated or changed.
        """
        try:
            return CheckpointManifest.from_canonical(self._read(digest, "json"))
        except InvalidRecord as error:
            if error.is_other_version:
                raise OtherVersion("checkpoint manifest") from None
            raise _damaged(digest, "is not a manifest") from None

    def _write(self, digest: Digest, suffix: str, content: bytes) -> None:
        path = self._path(digest, suffix)
        if path.exists() and _digest_of_file(path) == digest:
            return
        write_durably(path, content)

    def _read(self, digest: Digest, suffix: str) -> bytes:
        try:
            content = self._path(digest, suffix).read_bytes()
        except FileNotFoundError:
            raise _damaged(digest, "is missing") from None
        if digest_of(content) != digest:
            raise _damaged(digest, f"has {len(content)} bytes of another digest")
        return content

    def _path(self, digest: Digest, suffix: str) -> Path:
        return self.folder / f"{digest.removeprefix('sha256:')}.{suffix}"


def _digest_of_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(digest: Digest, found: str) -> CheckpointDamaged:
    message = f"checkpoint refused: {digest[:19]}… {found}, only its own bytes are allowed"
    return CheckpointDamaged(
        message, next_step="restore this object from a backup; earlier checkpoints are intact"
    )
