"""A folder, at any depth; a medium by its DICOMDIR; a zip archive, by itself or in a folder.

* Every entry of a folder that is not a folder is counted, whatever its name; links are neither
  followed nor read.
* A folder without zip archives is read where it is. Otherwise its files are linked into the spool,
  or copied where it is on another disk, beside what the archives hold.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hospital_node.cohort.sources.directory import listed_files
from hospital_node.cohort.sources.listing import Listing
from hospital_node.cohort.sources.source import Fetched, Progress
from hospital_node.cohort.sources.spool import Spool
from hospital_node.cohort.sources.zipped import is_zip, unpacked
from schemas.errors import InputRefused, SourceEmpty

__all__ = ["FolderSource", "folder_files"]


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A path that a person named: a folder, a zip archive or a DICOMDIR."""

    path: Path
    labels: Path

    def fetched(self, spool: Spool, *, progress: Progress) -> Fetched:
        """Return the folder itself, or the spool with everything in it."""
        if self.path.is_dir():
            files: Sequence[Path] = folder_files(self.path, besides=self.labels)
            if not any(is_zip(one) for one in files):
                return Fetched(self.path)
        elif is_zip(self.path):
            files = (self.path,)
        else:
            files = listed_files(self.path)
        spool.discard()
        spool.opened()
        number = 0
        for done, path in enumerate(files, start=1):
            if is_zip(path):
                number = unpacked(path, spool.objects, number)
            else:
                number += 1
                _placed(path, spool.objects / f"{number:08d}")
            progress(done, len(files))
        return Fetched(spool.objects)


def _placed(path: Path, target: Path) -> None:
    """Link a file; copy it where that cannot be. What is no file stays what it is."""
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:
        if path.is_symlink() or path.is_file():
            shutil.copy2(path, target, follow_symlinks=False)
        else:
            target.symlink_to("not-a-file")


def folder_files(source: Path, *, besides: Path) -> Listing:
    """Return the files below a folder in a fixed order, without the labels table `besides`.

    Raises:
        InputRefused: not a folder, or one that cannot be listed.
        SourceEmpty: no file in it.
    """
    if not source.is_dir():
        message = "source refused: no such folder; a folder of DICOM files is needed"
        raise InputRefused(message, next_step="name a folder with --source DIR")
    labels = besides.resolve()
    files = Listing.of(
        path
        for path in _walked(source)
        if path.name not in {besides.name, labels.name} or path.resolve() != labels
    )
    if not files:
        message = "source refused: found no file in the folder or below it; at least one is needed"
        raise SourceEmpty(
            message, next_step="check that the export ended and --source DIR names it"
        )
    return files


def _walked(source: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(source, onerror=_refuse_unlistable):
        below.sort()
        here = Path(folder)
        linked = [name for name in below if (here / name).is_symlink()]
        for name in sorted([*names, *linked]):
            yield here / name


def _refuse_unlistable(error: OSError) -> None:
    message = f"source refused: a folder in it cannot be listed ({error.strerror})"
    raise InputRefused(message, next_step="give this account the right to read it") from None
