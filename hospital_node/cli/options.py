"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from schemas.contract import DataContract
from schemas.errors import InputRefused
from schemas.plan import TrainingPlan

MAX_NAME = 200
"""Characters of an approver's name and role."""

Home: TypeAlias = Annotated[
    Path, typer.Option("--home", help="The node's home directory.", metavar="DIR")
]
Metrics: TypeAlias = Annotated[
    str,
    typer.Option("--metrics", metavar="HOST:PORT", help="Answer /health and /metrics on loopback."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PlanFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="PLAN", help="The plan's TOML file, pinned by init-weights.")
]
ContractFile: TypeAlias = Annotated[
    Path, typer.Option("--contract", metavar="FILE", help="The data contract's TOML file.")
]
Approver: TypeAlias = Annotated[
    str, typer.Option("--approver", help="Name and role of the person who decides.")
]


def named(approver: str) -> None:
    """Refuse a decision of nobody.

    Raises:
        InputRefused: no name, one that is too long, or one that a terminal would not show as it is.
    """
    if not approver.strip() or len(approver) > MAX_NAME or not approver.isprintable():
        message = f"approver refused: 1 to {MAX_NAME} printable characters are allowed"
        raise InputRefused(message, next_step='name the person: --approver "NAME, ROLE"')


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


def read_contract(path: Path) -> DataContract:
    """Read a contract that a person names.

    Raises:
        InputRefused: the file cannot be read, or is no contract.
    """
    try:
        return DataContract.from_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        message = f"contract refused: {path.name} cannot be read"
        raise InputRefused(message, next_step="check the file's name and its permissions") from None
