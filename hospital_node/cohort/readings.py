"""What was read before, so that an unchanged file is never decoded twice.

* HOME/cohort.readings/<16 hex>.sqlite holds, for one way of reading (the contract's rules for files
  and pixels, and the versions of the codecs), the outcome of each file by a keyed name of its
  bytes, and each frame's plane by the digest of its pixels.
* UIDs and patients appear under keyed names. Codes and planes are all else that is in it.
* It can be removed at any time; a damaged one is begun anew.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray

from hospital_node.cohort.grids import Grid
from hospital_node.cohort.places import Place, Vector
from schemas.contract import DataContract
from schemas.names import Digest

__all__ = [
    "FileRead",
    "FrameRead",
    "MaskRead",
    "Readings",
    "opened_readings",
    "readings_file",
    "readings_folder",
]

_FORM = 3
"""Of reading; a change that gives other outcomes from the same bytes raises it."""
_READERS = (
    "gdcm",
    "numpy",
    "pillow",
    "pydicom",
    "pyjpegls",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "python-gdcm",
)
_TABLES = """
CREATE TABLE IF NOT EXISTS files (file TEXT PRIMARY KEY, outcome TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS planes
    (image TEXT PRIMARY KEY, plane BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS masks
    (mask TEXT PRIMARY KEY, bits BLOB NOT NULL, digest BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class FrameRead:
    """A frame by its number in the file and the digest of its pixels, and where it lies."""

    number: int
    image: Digest
    grid: Grid
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class MaskRead:
    """A mask by the digest of its pixels, and the frame that it is of, as in `Outline`."""

    mask: Digest
    size: tuple[int, int]
    is_empty: bool
    instance: str = ""
    frame: int = 1
    origin: Vector | None = None


@dataclass(frozen=True, slots=True)
class FileRead:
    """The outcome of one file under keyed names; `code` is empty where something can be used."""

    code: str = ""
    detail: str = ""
    instance: str = ""
    patient: str = ""
    """Empty where the file names no patient."""
    series: str = ""
    risks: tuple[str, ...] = ()
    frames: tuple[FrameRead, ...] = ()
    masks: tuple[MaskRead, ...] = ()
    covered: tuple[str, ...] = ()
    """Instances that a Segmentation was made of."""
    is_outlines: bool = False
    """Whether the file holds masks, perhaps none of the wanted segment."""


class Readings:
    """An open memory of readings."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @property
    def is_empty(self) -> bool:
        """Say whether nothing was ever read."""
        return self._database.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None

    def known(self, file: str) -> FileRead | None:
        """Return the outcome of a file that was read before."""
        found = self._database.execute(
            "SELECT outcome FROM files WHERE file = ?", (file,)
        ).fetchone()
        return None if found is None else _parsed(found[0])

    def keep(
        self,
        file: str,
        outcome: FileRead,
        planes: Sequence[NDArray[np.float32]] = (),
        masks: Sequence[NDArray[np.bool_]] = (),
    ) -> None:
        """Remember a file's outcome, frames' planes or masks; durable after `commit`."""
        for read, pixels in zip(outcome.masks, masks, strict=True):
            bits = np.packbits(pixels).tobytes()
            self._database.execute(
                "INSERT OR REPLACE INTO masks VALUES (?, ?, ?)",
                (read.mask, bits, hashlib.sha256(bits).digest()),
            )
        for frame, plane in zip(outcome.frames, planes, strict=True):
            content = plane.astype("<f4").tobytes()
            self._database.execute(
                "INSERT OR REPLACE INTO planes VALUES (?, ?, ?)",
                (frame.image, content, hashlib.sha256(content).digest()),
            )
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?)", (file, _written(outcome))
        )

    def commit(self) -> None:
        """Put on disk what was kept."""
        self._database.commit()

    def plane(self, image: Digest, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a frame's plane.

        Raises:
            sqlite3.DatabaseError: it is not there, or not what it was.
        """
        found = self._database.execute(
            "SELECT plane, digest FROM planes WHERE image = ?", (image,)
        ).fetchone()
        if found is None or hashlib.sha256(found[0]).digest() != found[1]:
            message = "a plane is damaged"
            raise sqlite3.DatabaseError(message)
        return np.frombuffer(found[0], dtype="<f4").reshape(shape)

    def mask(self, mask: Digest, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return a mask as it is stored in its file.

        Raises:
            sqlite3.DatabaseError: it is not there, or not what it was.
        """
        found = self._database.execute(
            "SELECT bits, digest FROM masks WHERE mask = ?", (mask,)
        ).fetchone()
        if found is None or hashlib.sha256(found[0]).digest() != found[1]:
            message = "a mask is damaged"
            raise sqlite3.DatabaseError(message)
        bits = np.unpackbits(np.frombuffer(found[0], np.uint8), count=size[0] * size[1])
        return bits.reshape(size).astype(np.bool_)

    def drop(self, files: Sequence[str]) -> None:
        """Forget files, and what no other file has of theirs; the space is overwritten."""
        if not files:
            return
        self._database.executemany("DELETE FROM files WHERE file = ?", [(one,) for one in files])
        outcomes = [outcome for _, outcome in self.files()]
        images = {frame.image for one in outcomes for frame in one.frames}
        masks = {each.mask for one in outcomes for each in one.masks}
        for listed, delete, kept in (
            ("SELECT image FROM planes", "DELETE FROM planes WHERE image = ?", images),
            ("SELECT mask FROM masks", "DELETE FROM masks WHERE mask = ?", masks),
        ):
            stored = self._database.execute(listed).fetchall()
            self._database.executemany(delete, [one for one in stored if one[0] not in kept])
        self.commit()

    def names(self) -> set[str]:
        """Return the names of every file that was read."""
        return {name for (name,) in self._database.execute("SELECT file FROM files")}

    def files(self) -> Iterator[tuple[str, FileRead]]:
        """Yield every file that was read."""
        for file, outcome in self._database.execute("SELECT file, outcome FROM files"):
            yield file, _parsed(outcome)


def readings_folder(store: Path) -> Path:
    """Return the folder beside the cohorts."""
    return store.with_name(store.name + ".readings")


def readings_file(store: Path, contract: DataContract) -> Path:
    """Return where the readings under a contract are kept."""
    rules: dict[str, Any] = {
        "form": _FORM,
        "image": contract.image.model_dump(mode="json"),
        "recipe": contract.preprocessing.model_dump(mode="json", exclude={"normalisation"}),
        "mask": contract.labels.mask and contract.labels.mask.model_dump(mode="json"),
        "deidentification": contract.deidentification.model_dump(mode="json"),
        "readers": {name: _version(name) for name in _READERS},
    }
    return (
        readings_folder(store) / f"{hashlib.sha256(rfc8785.dumps(rules)).hexdigest()[:16]}.sqlite"
    )


@contextmanager
def opened_readings(path: Path) -> Iterator[Readings]:
    """Open a memory of readings, or begin one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        database = _connected(path)
    except sqlite3.DatabaseError:
        path.unlink()
        database = _connected(path)
    with closing(database):
        yield Readings(database)
        database.commit()


def _connected(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA page_size = 16384")  # a plane is large: half the work of 4096
        database.execute("PRAGMA secure_delete = ON")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_TABLES)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _written(outcome: FileRead) -> str:
    return json.dumps(outcome, default=_listed, separators=(",", ":"))


def _listed(record: object) -> list[object]:
    """Return the values of a dataclass in order; `astuple` copies every one, which costs most."""
    names: tuple[str, ...] = type(record).__slots__  # type: ignore[attr-defined] # of our dataclasses
    return [getattr(record, name) for name in names]


def _parsed(content: str) -> FileRead:
    code, detail, instance, patient, series, risks, frames, masks, covered, is_outlines = (
        json.loads(content)
    )
    return FileRead(
        code,
        detail,
        instance,
        patient,
        series,
        tuple(risks),
        tuple(
            FrameRead(number, image, Grid(*map(_frozen, grid)), place and Place(*map(tuple, place)))
            for number, image, grid, place in frames
        ),
        tuple(MaskRead(*map(_frozen, one)) for one in masks),
        tuple(covered),
        is_outlines,
    )


def _frozen(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    return tuple(value) if isinstance(value, list) else value
