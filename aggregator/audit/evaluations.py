"""The sites' signed evaluations, kept so that a reviewer can compute each verdict again."""

from pathlib import Path

from aggregator.config import AggregatorHome
from schemas.files import make_folder
from schemas.names import Name
from schemas.update import Evaluation


def keep_evaluation(home: AggregatorHome, found: Evaluation, envelope: bytes) -> None:
    """Keep an evaluation's envelope; after a crash that costs it, the site gives it again."""
    folder = folder_of(home, found.run)
    make_folder(folder)
    (folder / f"{found.round:06d}-{found.site}.json").write_bytes(envelope)


def folder_of(home: AggregatorHome, run: Name) -> Path:
    """Return where a run's evaluations stand."""
    return home.runs / run / "evaluations"
