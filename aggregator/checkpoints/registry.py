"""The registry: which runs there were, which models they made and what became of each.

* A status moves forward only, from provisional to a verdict; a verdict is never changed.
* Writing what is already there changes nothing, so a resumed round may write again.
* Lineage leads from a model through the arrays that the sites trained from, back to the initial
  ones.
* A write is on disk when it returns (synchronous = FULL).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from aggregator.checkpoints.database import (
    CheckpointRow,
    RunRow,
    Table,
    damaged,
    engine_of,
    guarded,
)
from schemas.checkpoint import CheckpointManifest
from schemas.errors import CheckpointDamaged
from schemas.gate import Outcome
from schemas.names import Digest, Moment, Name

Status: TypeAlias = Literal["initial", "provisional"] | Outcome
"""What became of a model; the outcomes are the model gate's."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a plan."""

    name: Name
    federation: Name
    plan: Digest
    contract: Digest
    opened: Moment


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model of a run, by digests, with what was decided about it."""

    run: Name
    round: int
    arrays: Digest
    manifest: Digest
    parent: Digest | None
    status: Status
    created: Moment


class Registry:
    """The registry in one SQLite file; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            CheckpointDamaged: the file is not a sound registry.
            HomeRefused: the file cannot be opened or written.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = engine_of(path)
        with guarded(path):
            Table.metadata.create_all(self._engine)
            with self._engine.connect() as connection:
                found = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
        if found != "ok":
            raise damaged(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def open_run(self, run: Run) -> Run:
        """Write a run down and return what is stored.

        A known name of the same plan keeps its first entry; of another plan it is the caller's
        mistake.
        """
        with self._session() as session:
            known = session.get(RunRow, run.name)
            if known is None:
                session.add(
                    RunRow(
                        name=run.name,
                        federation=run.federation,
                        plan=run.plan,
                        contract=run.contract,
                        opened=run.opened,
                    )
                )
                return run
            if (known.federation, known.plan, known.contract) != (
                run.federation,
                run.plan,
                run.contract,
            ):
                message = f"run {run.name} is already there, of another plan"
                raise ValueError(message)
            return _run(known)

    def insert(
        self, manifest: CheckpointManifest, *, status: Literal["initial", "provisional"]
    ) -> Checkpoint:
        """Write a model down and return what is stored.

        The same model of the same round keeps its first entry.
        """
        if (status == "initial") != (manifest.kind == "initial"):
            message = f"a manifest of kind {manifest.kind} cannot be {status}"
            raise ValueError(message)
        with self._session() as session:
            row = session.scalar(_place(manifest.run, manifest.round, manifest.arrays))
            if row is None:
                row = CheckpointRow(
                    run=manifest.run,
                    round=manifest.round,
                    arrays=manifest.arrays,
                    manifest=manifest.digest,
                    parent=manifest.parent,
                    status=status,
                    created=manifest.created,
                )
                session.add(row)
            return _checkpoint(row)

    def settle(
        self,
        run: Name,
        *,
        round: int,  # noqa: A002 - the word of every record
        arrays: Digest,
        status: Outcome,
    ) -> Checkpoint:
        """Write a verdict down.

        The same one again changes nothing; another one is the caller's mistake.
        """
        with self._session() as session:
            row = session.scalar(_place(run, round, arrays))
            if row is None or row.status not in {"provisional", status}:
                found = "not there" if row is None else f"already {row.status}"
                message = f"the model of round {round} is {found}, it cannot become {status}"
                raise ValueError(message)
            row.status = status
            return _checkpoint(row)

    def runs(self) -> tuple[Run, ...]:
        """List the runs, oldest first."""
        with self._session() as session:
            rows = session.scalars(select(RunRow).order_by(RunRow.opened, RunRow.name))
            return tuple(_run(row) for row in rows)

    def run(self, name: Name) -> Run | None:
        """Return a run; None when there is none of this name."""
        with self._session() as session:
            row = session.get(RunRow, name)
            return None if row is None else _run(row)

    def checkpoints(self, run: Name) -> tuple[Checkpoint, ...]:
        """List a run's models by round."""
        with self._session() as session:
            rows = session.scalars(_of(run).order_by(CheckpointRow.round, CheckpointRow.number))
            return tuple(_checkpoint(row) for row in rows)

    def accepted(self, run: Name) -> Checkpoint | None:
        """Return the last accepted model; None before the first."""
        found = [one for one in self.checkpoints(run) if one.status == "accepted"]
        return found[-1] if found else None

    def lineage(self, arrays: Digest, *, run: Name) -> tuple[Checkpoint, ...]:
        """Return a run's model and its ancestors, newest first, the initial one last.

        Raises:
            CheckpointDamaged: a model or an ancestor is not in the registry.
        """
        known = self.checkpoints(run)
        line: list[Checkpoint] = []
        wanted: Digest | None = arrays
        while wanted is not None:
            # Rounds fall along the line, so equal arrays of two rounds cannot make a circle.
            before = line[-1].round if line else None
            fit = [
                one
                for one in known
                if one.arrays == wanted and (before is None or one.round < before)
            ]
            if not fit:
                message = f"lineage refused: {wanted[:19]}… is not in the registry of run {run}"
                raise CheckpointDamaged(message, next_step="restore the registry from a backup")
            line.append(fit[-1])
            wanted = fit[-1].parent
        return tuple(line)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with guarded(self._path), Session(self._engine) as session, session.begin():
            yield session


def _of(run: Name) -> Select[CheckpointRow]:
    return select(CheckpointRow).where(CheckpointRow.run == run)


def _place(run: Name, number: int, arrays: Digest) -> Select[CheckpointRow]:
    return _of(run).where(CheckpointRow.round == number, CheckpointRow.arrays == arrays)


def _run(row: RunRow) -> Run:
    return Run(row.name, row.federation, row.plan, row.contract, row.opened)


def _checkpoint(row: CheckpointRow) -> Checkpoint:
    status: Status = row.status  # type: ignore[assignment]  # only `insert` and `settle` write it
    return Checkpoint(
        run=row.run,
        round=row.round,
        arrays=row.arrays,
        manifest=row.manifest,
        parent=row.parent,
        status=status,
        created=row.created,
    )
