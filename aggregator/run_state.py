"""A run's state: one value, saved before it is acted on.

* States are appended to one file; the last whole line is the present. A torn line was never acted
  on.
* Everything that a resumed run needs is named here by digest.
"""

import os
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from schemas.base import Record
from schemas.checkpoint import Source
from schemas.dice import DiceHistogram
from schemas.files import sync_folder
from schemas.gate import Verdict
from schemas.names import Digest, Moment, Name, SiteName
from schemas.update import Histogram

Phase: TypeAlias = Literal[
    "opened",
    "collected",
    "screened",
    "combined",
    "judged",
    "accepted",
    "rolled-back",
    "provisional",
    "abandoned",
]


class SiteHistogram(Record):
    """One site's answer to an evaluation, or a sum of several under the name `sum`."""

    site: SiteName
    histogram: Histogram | DiceHistogram
    of: tuple[SiteName, ...] = ()
    """The sites in a sum; empty: the site's own."""


class OpenedSum(Record):
    """A sum whose masks are off."""

    attempt: int = Field(ge=1)
    inputs: dict[SiteName, Digest]
    """By site in it, the digest of its masked value."""
    total: Digest
    """Of the ring's elements."""
    histogram: Histogram | None
    """Where histograms were summed."""


class Arrived(Record):
    """A spooled update that passed every check on itself."""

    site: SiteName
    arrays: Digest
    norm: float = Field(gt=0)
    """L2 norm of the delta."""


class ServerArrays(Record):
    """The server optimizer's arrays by digest: what the next round starts from."""

    iterate: Digest
    velocity: Digest | None = None
    variance: Digest | None = None
    control: Digest | None = None
    variates: dict[SiteName, int] = Field(default_factory=dict)
    """Round of the last update of each site that is in `control`."""
    steps: int = Field(default=0, ge=0)
    average: Digest | None = None
    averaged: int = Field(default=0, ge=0)

    def digests(self) -> list[Digest]:
        """List the arrays that this state needs."""
        named = (self.iterate, self.velocity, self.variance, self.control, self.average)
        return [one for one in named if one is not None]


class AcceptedModel(Record):
    """The last accepted model; a rejection rolls back to its state. Round 0: the initial one."""

    arrays: Digest
    round: int = Field(ge=0)
    server: ServerArrays
    histograms: tuple[SiteHistogram, ...] = ()


class RunState(Record):
    """Where a run stands."""

    run: Name
    plan: Digest
    round: int = Field(ge=0)
    phase: Phase
    issued: Moment
    """When this round's requests were first made; a resumed round sends the same bytes."""
    server: ServerArrays
    parent: Digest
    """The last model of the lineage: the last candidate, or the accepted one after a roll back."""
    accepted: AcceptedModel
    arrived: tuple[Arrived, ...] = ()
    """This round's spooled updates in site order, once they are collected."""
    opened: OpenedSum | None = None
    """In their place, under masking."""
    sources: tuple[Source, ...] = ()
    """This round's usable updates, after screening."""
    candidate: Digest | None = None
    histograms: tuple[SiteHistogram, ...] = ()
    verdict: Verdict | None = None
    rejections: int = Field(default=0, ge=0)
    """In a row."""


class StateFile:
    """The states of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> RunState | None:
        """Return the present state; None before the first.

        Raises:
            IntegrityLost: the file holds something else than states.
        """
        return self._state(1)

    def before_last(self) -> RunState | None:
        """Return the state before the present one; None where there is none.

        Raises:
            IntegrityLost: the file holds something else than states.
        """
        return self._state(2)

    def _state(self, place: int) -> RunState | None:
        """Return a state by its place from the end."""
        if not self._path.exists():
            return None
        lines = self._path.read_bytes().split(b"\n")[:-1]
        if len(lines) < place:
            return None
        return RunState.from_stored(lines[-place], what="the run's last saved state")

    def save(self, state: RunState) -> None:
        """Append a state; it is on disk when this returns."""
        new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            _drop_torn_line(file.fileno(), self._path)
            file.write(state.canonical() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(self._path.parent)


def _drop_torn_line(descriptor: int, path: Path) -> None:
    """Cut what a crash left after the last whole line."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    content = path.read_bytes()
    os.ftruncate(descriptor, content.rfind(b"\n") + 1)
