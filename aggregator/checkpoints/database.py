"""The tables of the registry, and the file that holds them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import ForeignKey, UniqueConstraint, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from schemas.errors import CheckpointDamaged, HomeRefused

LOCK_TIMEOUT_S = 1.0
"""A home has one owner, so a held lock is a stranger's and is soon reported."""


class Table(DeclarativeBase):
    """The tables of the registry."""


class RunRow(Table):
    """One execution of a plan."""

    __tablename__ = "runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    federation: Mapped[str]
    plan: Mapped[str]
    contract: Mapped[str]
    opened: Mapped[str]


class CheckpointRow(Table):
    """One model of a run."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("run", "round", "arrays"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.name"), index=True)
    round: Mapped[int]
    arrays: Mapped[str] = mapped_column(index=True)
    manifest: Mapped[str]
    parent: Mapped[str | None]
    status: Mapped[str]
    created: Mapped[str]


def engine_of(path: Path) -> Engine:
    """Return access to a file; every connection is durable and checks references."""
    engine = create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": LOCK_TIMEOUT_S}
    )

    @event.listens_for(engine, "connect")
    def _durable(connection: object, _record: object) -> None:
        execute = connection.execute  # type: ignore[attr-defined]  # the driver's own connection
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA foreign_keys = ON")

    return engine


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn what SQLite says about its file into our refusals.

    A broken constraint stays the caller's mistake.
    """
    try:
        yield
    except IntegrityError:
        raise
    except OperationalError as error:
        message = f"registry refused: {path.name} cannot be read or written ({error.orig})"
        raise HomeRefused(
            message, next_step="check free space and permissions of this home"
        ) from error
    except DatabaseError as error:
        raise damaged(path) from error


def damaged(path: Path) -> CheckpointDamaged:
    """Return the refusal of a file that is not a sound registry."""
    message = f"registry refused: {path.name} is not a sound registry, nothing goes on from it"
    return CheckpointDamaged(
        message, next_step="restore it from a backup; the checkpoints beside it are intact"
    )
