"""The spool: one round's updates on disk, so that memory does not grow with the number of sites.

* It is not put on disk before it counts: a node keeps its reply for good and gives the same bytes
  again. Whoever takes a round up after a crash compares the spool with what was signed and drops
  what does not match.
* An update is there when both its files are; one alone is the rest of a crash and is ignored.
* What is there is never replaced; clearing it is the only way back.
* Sites are listed in name order, whatever the order of arrival.
* Values are read in parts; no more than one part of one site is in memory for it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.errors import CheckpointDamaged
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
    size: int = field(init=False)
    """Values of one update."""
    _offset: int = field(init=False)
    """Bytes before them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(one.size for one in self.layout))
        object.__setattr__(self, "_offset", len(header(self.layout)))

    def put(
        self, site: SiteName, update: Update, envelope: bytes, body: bytes | memoryview
    ) -> None:
        """Write one checked update; the same envelope again changes nothing."""
        if update.site != site:
            message = f"an update of {update.site} cannot stand for {site}"
            raise ValueError(message)
        stored = self._file(site, "envelope")
        if site in self.sites():
            if stored.read_bytes() != envelope:
                message = f"another update of {site} is already in this round's spool"
                raise ValueError(message)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _overwrite(self._file(site, "arrays"), body)
        stored.write_bytes(envelope)

    def drop(self, site: SiteName) -> None:
        """Forget one site's update; the envelope goes first."""
        self._file(site, "envelope").unlink(missing_ok=True)
        self._file(site, "arrays").unlink(missing_ok=True)

    def sites(self) -> tuple[SiteName, ...]:
        """List the sites whose updates are here, in name order."""
        names = (path.stem for path in self.folder.glob("*.envelope"))
        return tuple(sorted(site for site in names if self._file(site, "arrays").exists()))

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
            offset=self._offset,
            shape=(self.size,),
        )

    def part(self, site: SiteName, start: int, stop: int) -> Vector:
        """Read the values from `start` up to `stop`.

        Raises:
            CheckpointDamaged: the spooled file is shorter or longer than the layout says.
        """
        self._check(site)
        offset = self._offset + _FLOAT32_BYTES * start
        return np.fromfile(
            self._file(site, "arrays"), dtype="<f4", count=stop - start, offset=offset
        )

    def clear(self) -> None:
        """Forget the round: without its envelope an update is not there.

        The arrays' files stay for the next round to write over, so that no block of the disk is
        freed and taken again in every round.
        """
        for path in self.folder.glob("*.envelope"):
            path.unlink()

    def remove(self) -> None:
        """Take the folder away, when a run is over."""
        self.clear()
        for path in self.folder.glob("*.arrays"):
            path.unlink()
        if self.folder.exists():
            self.folder.rmdir()

    def _check(self, site: SiteName) -> None:
        expected = self._offset + _FLOAT32_BYTES * self.size
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


def _overwrite(path: Path, content: bytes | memoryview) -> None:
    """Write a file from its start; what an earlier, longer one had beyond is cut off."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(content)
        file.truncate()
