"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from schemas.errors import InputRefused
from schemas.plan import TrainingPlan

Home: TypeAlias = Annotated[
    Path, typer.Option("--home", help="The node's home directory.", metavar="DIR")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PlanFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="PLAN", help="The plan's TOML file, pinned by init-weights.")
]
Approver: TypeAlias = Annotated[
    str, typer.Option("--approver", help="Name and role of the person who decides.")
]


def read_plan(path: Path) -> TrainingPlan:
    """Read a plan that a person names.

    Raises:
        InputRefused: the file cannot be read, or is no plan.
    """
    try:
        return TrainingPlan.from_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        message = f"plan refused: {path.name} cannot be read"
        raise InputRefused(message, next_step="check the file's name and its permissions") from None
