"""The spool: fetched objects on the node's own disk, until they are ingested.

* HOME/spool/<source>-<16 hex of the contract's digest>/ is for its owner alone. It holds patients'
  images as the archive has them; a cohort that was stored no longer needs it.
* An object stands under its name only when it is whole and on disk: that is the record from which
  a killed fetch goes on.
* The name of an object is a digest of its UID.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from schemas.files import make_folder
from schemas.names import Digest

__all__ = ["Spool", "spool_of", "spools"]

_ARRIVING = ".arriving-"


@dataclass(frozen=True, slots=True)
class Spool:
    """The objects of one source under one contract."""

    folder: Path

    @property
    def objects(self) -> Path:
        """The folder that ingest reads."""
        return self.folder / "objects"

    def opened(self) -> None:
        """Make the folders, and remove what a kill left half done."""
        make_folder(self.folder.parent)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.objects.mkdir(mode=0o700, exist_ok=True)
        for left in self.folder.glob(f"{_ARRIVING}*"):
            left.unlink()

    def holds(self, instance: str) -> bool:
        """Say whether an object is here, whole."""
        return self._path(instance).is_file()

    def arriving(self) -> Path:
        """Return a new file beside the objects, to be written and then kept."""
        handle, path = tempfile.mkstemp(dir=self.folder, prefix=_ARRIVING)
        os.close(handle)
        return Path(path)

    def keep(self, arrived: Path, instance: str) -> None:
        """Put a file on disk and give it its name; one that a power cut takes is fetched anew."""
        with arrived.open("rb") as file:
            os.fsync(file.fileno())
        arrived.replace(self._path(instance))

    def retain(self, instances: Iterable[str]) -> None:
        """Remove every object but these: what is no longer asked for is not ingested."""
        names: Container[str] = {_name(one) for one in instances}
        for path in self.objects.iterdir():
            if path.name not in names:
                path.unlink()

    def discard(self) -> None:
        """Remove the whole spool."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _path(self, instance: str) -> Path:
        return self.objects / _name(instance)


def _name(instance: str) -> str:
    return hashlib.sha256(instance.encode()).hexdigest()[:32]


def spool_of(home: Path, source: str, contract: Digest) -> Spool:
    """Return the spool of a source under a contract."""
    return Spool(home / f"{source}-{contract.removeprefix('sha256:')[:16]}")


def spools(home: Path) -> tuple[Spool, ...]:
    """Return every spool that is there."""
    return tuple(Spool(one) for one in sorted(home.iterdir())) if home.is_dir() else ()
