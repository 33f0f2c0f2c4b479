"""The spool: one round's updates on disk, so that memory does not grow with the number of sites.

* An update is there when its envelope is; arrays without one are the rest of a crash and are
  ignored.
* What is there is never replaced; clearing it is the only way back.
* Sites are listed in name order, whatever the order of arrival.
* Values are read in parts; no more than one part of one site is in memory for it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.errors import CheckpointDamaged
from schemas.files import sync_folder, write_durably
from schemas.names import SiteName
from schemas.update import Update
from schemas.wire.arrays import header
from schemas.wire.layout import Layout

Vector: TypeAlias = NDArray[np.float32]
"""All values of a model or delta, flat, in layout order."""

_FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Spool:
    """A round's folder: SITE.envelope beside SITE.arrays, both the very bytes that came."""

    folder: Path
    layout: Layout

    @property
    def size(self) -> int:
        """Count the values of one update."""
        return sum(one.size for one in self.layout)

    def put(
        self, site: SiteName, update: Update, envelope: bytes, body: bytes | memoryview
    ) -> None:
        """Write one checked update durably; the same envelope again changes nothing.

        The arrays are on disk before the envelope, so a crash between them leaves an update that is
        not there.
        """
        if update.site != site:
            message = f"an update of {update.site} cannot stand for {site}"
            raise ValueError(message)
        stored = self._file(site, "envelope")
        if stored.exists():
            if stored.read_bytes() != envelope:
                message = f"another update of {site} is already in this round's spool"
                raise ValueError(message)
            return
        write_durably(self._file(site, "arrays"), body)
        write_durably(stored, envelope)

    def sites(self) -> tuple[SiteName, ...]:
        """List the sites whose updates are here, in name order."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.envelope")))

    def envelope(self, site: SiteName) -> bytes:
        """Return the signed envelope that came."""
        return self._file(site, "envelope").read_bytes()

    def body(self, site: SiteName) -> memoryview:
        """Return the bytes that came beside the envelope, mapped from disk."""
        return np.memmap(self._file(site, "arrays"), dtype=np.uint8, mode="r").data

    def values(self, site: SiteName) -> Vector:
        """Return a delta's values as a read-only map of its file."""
        self._check(site)
        return np.memmap(
            self._file(site, "arrays"),
            dtype="<f4",
            mode="r",
            offset=len(header(self.layout)),
            shape=(self.size,),
        )

    def part(self, site: SiteName, start: int, stop: int) -> Vector:
        """Read the values from `start` up to `stop`.

        Raises:
            CheckpointDamaged: the spooled file is shorter or longer than the layout says.
        """
        self._check(site)
        offset = len(header(self.layout)) + _FLOAT32_BYTES * start
        return np.fromfile(
            self._file(site, "arrays"), dtype="<f4", count=stop - start, offset=offset
        )

    def clear(self) -> None:
        """Forget the round; envelopes go first, so a crash leaves no update without its arrays."""
        if not self.folder.exists():
            return
        for pattern in ("*.envelope", "*"):
            for path in sorted(self.folder.glob(pattern)):
                path.unlink()
            sync_folder(self.folder)
        self.folder.rmdir()

    def _check(self, site: SiteName) -> None:
        expected = len(header(self.layout)) + _FLOAT32_BYTES * self.size
        try:
            found = self._file(site, "arrays").stat().st_size
        except FileNotFoundError:
            found = 0
        if found != expected:
            message = (
                f"spool refused: the update of {site} has {found} bytes, {expected} were written"
            )
            raise CheckpointDamaged(message, next_step="check the disk, then run the round again")

    def _file(self, site: SiteName, suffix: str) -> Path:
        return self.folder / f"{site}.{suffix}"
