"""What every source does: it ends as a folder on the node's own disk.

* `fetched` may be called again after a crash or a kill at any moment; what is whole is not fetched
  a second time.
* A source adds nothing that was not asked for, and counts what did not come.
* No message of a source holds a file name, an identifier or a value of a patient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from hospital_node.cohort.sources.spool import Spool

__all__ = ["Fetched", "Progress", "Source"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of objects that are there and of all that are asked for."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A folder that ingest can read, and what became of what was asked for."""

    folder: Path
    asked: int = 0
    """Objects that the archive listed for the labelled images; 0 for a folder, which is whole."""
    missing: int = 0
    """Objects that it listed and did not send."""
    unasked: int = 0
    """Objects that it sent and nobody asked for, or that are not what they were asked as."""
    unlisted: int = 0
    """Patients of the labels table of whom it lists no labelled image."""


class Source(Protocol):
    """A folder, a PACS or DICOMweb."""

    def fetched(self, spool: Spool, *, progress: Progress) -> Fetched:
        """Bring the images to this disk.

        Raises:
            InputRefused: a folder, an archive file or a setting that cannot be used.
            SourceEmpty: there is nothing to fetch.
            ArchiveRefused: the archive is not there, refuses, or does not keep to its protocol.
        """
