"""The server optimizer's arrays on disk, by digest, for as long as a run may need them.

* Arrays that are a stored checkpoint already are not written twice.
* The arrays that the next round starts from stay in memory too, so that they are not read and
  verified again for its request and for its step.
"""

from collections.abc import Set as AbstractSet
from pathlib import Path

from aggregator.aggregation.optimizers import ServerState
from aggregator.aggregation.spool import Vector
from aggregator.checkpoints.store import CheckpointStore, written
from aggregator.run_state import ServerArrays
from schemas.errors import CheckpointDamaged
from schemas.files import write_durably
from schemas.names import Digest, digest_of
from schemas.wire.arrays import flat_values
from schemas.wire.layout import Layout

_OPTIONAL = ("velocity", "variance", "control", "average")
"""Arrays that only some plans have."""


class Vectors:
    """A folder of arrays files of one layout, beside a store of checkpoints."""

    def __init__(self, folder: Path, layout: Layout, store: CheckpointStore) -> None:
        self._folder, self._layout, self._store = folder, layout, store
        self._recent: tuple[Digest, bytes] | None = None

    def content(self, digest: Digest) -> bytes:
        """Return an arrays file.

        Raises:
            CheckpointDamaged: missing, or other bytes than the digest names.
        """
        if self._recent is None or self._recent[0] != digest:
            self._recent = (digest, self._verified(digest))
        return self._recent[1]

    def loaded(self, arrays: ServerArrays) -> ServerState:
        """Return the server optimizer's state that these digests name.

        Raises:
            CheckpointDamaged: as for `content`.
        """
        return ServerState(
            iterate=flat_values(self.content(arrays.iterate), self._layout),
            **{name: self._known(getattr(arrays, name)) for name in _OPTIONAL},
            steps=arrays.steps,
            averaged=arrays.averaged,
        )

    def saved(self, state: ServerState, *, model: Digest, content: bytes) -> ServerArrays:
        """Put the server optimizer's state on disk and name it.

        `model` is its candidate, a stored checkpoint already, whose bytes are `content`.
        """
        if state.average is None:
            self._recent = (model, content)
        named = {
            name: self._put(vector)
            for name in _OPTIONAL
            if (vector := getattr(state, name)) is not None
        }
        iterate = model if state.average is None else self._put(state.iterate)
        counts = ServerArrays(iterate=iterate, steps=state.steps, averaged=state.averaged)
        return counts.model_copy(update=named)

    def keep(self, digests: AbstractSet[Digest]) -> None:
        """Delete the arrays that no saved state can need any more."""
        if self._folder.exists():
            for path in self._folder.iterdir():
                if f"sha256:{path.stem}" not in digests:
                    path.unlink()

    def _known(self, digest: Digest | None) -> Vector | None:
        return None if digest is None else self._vector(digest)

    def _vector(self, digest: Digest) -> Vector:
        return flat_values(self._verified(digest), self._layout)

    def _verified(self, digest: Digest) -> bytes:
        path = self._path(digest)
        if not path.exists():
            return self._store.arrays(digest)
        content = path.read_bytes()
        if digest_of(content) != digest:
            message = "run refused: the server's arrays differ from their digest"
            raise CheckpointDamaged(
                message, next_step="restore the aggregator's home from a backup"
            )
        return content

    def _put(self, vector: Vector) -> Digest:
        content = written(self._layout, vector)
        digest = digest_of(content)
        if not self._store.holds(digest) and not self._path(digest).exists():
            write_durably(self._path(digest), content)
        return digest

    def _path(self, digest: Digest) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.safetensors"
