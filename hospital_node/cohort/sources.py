"""Where files come from: a folder, at any depth.

* Every entry that is not a folder is counted, whatever its name; links are neither followed nor
  read.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import InputRefused, SourceEmpty

__all__ = ["folder_files"]


def folder_files(source: Path, *, besides: Path) -> tuple[Path, ...]:
    """Return the files below a folder in a fixed order, without the labels table `besides`.

    Raises:
        InputRefused: not a folder, or one that cannot be listed.
        SourceEmpty: no file in it.
    """
    if not source.is_dir():
        message = "source refused: no such folder; a folder of DICOM files is needed"
        raise InputRefused(message, next_step="name a folder with --source DIR")
    labels = besides.resolve()
    files = tuple(path for path in _walked(source) if path.resolve() != labels)
    if not files:
        message = "source refused: found no file in the folder or below it; at least one is needed"
        raise SourceEmpty(
            message, next_step="check that the export ended and --source DIR names it"
        )
    return files


def _walked(source: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(source, onerror=_refuse_unlistable):
        below.sort()
        linked = [name for name in below if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *linked]):
            yield Path(folder) / name


def _refuse_unlistable(error: OSError) -> None:
    message = f"source refused: a folder in it cannot be listed ({error.strerror})"
    raise InputRefused(message, next_step="give this account the right to read it") from None
