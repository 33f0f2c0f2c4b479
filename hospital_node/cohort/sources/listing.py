"""The files of a source, in a fixed order.

* A path is made when it is asked for: by itself it takes three times the room of its text, and an
  ingest keeps the list to its end.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self, overload

__all__ = ["Listing"]


class Listing(Sequence[Path]):
    """Paths, kept as their texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """Return these paths."""
        return cls(map(str, paths))

    def __len__(self) -> int:
        """Count the files."""
        return len(self._texts)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Path | Self:
        """Return the path at a place, or those of a stretch."""
        if isinstance(place, slice):
            return type(self)(self._texts[place])
        return Path(self._texts[place])

    def at(self, places: Iterable[int]) -> Self:
        """Return the paths at these places, in their order."""
        return type(self)(self._texts[place] for place in places)
