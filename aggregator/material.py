"""A study lead's files, as the aggregator reads them: the plan, its contract, the initial arrays.

NAME.plan.toml              what a person writes
CONTRACT.contract.toml      named by the plan
NAME.plan.safetensors       the arrays that training starts from
"""

from pathlib import Path

from aggregator.runs import Material
from schemas.contract import DataContract
from schemas.errors import InputRefused
from schemas.plan import TrainingPlan
from schemas.plan_rules import refuse_unlike


def read_material(path: Path) -> Material:
    """Read a pinned plan with the files that it names.

    Raises:
        InputRefused: a file is missing, the plan is not pinned, or it is not one for its contract.
    """
    plan = TrainingPlan.from_toml(read_text(path, "plan"))
    if not plan.is_pinned:
        message = (
            f"plan refused: {path.name} does not name its contract and initial arrays by digest"
        )
        raise InputRefused(message, next_step=f"run: consilium init-weights {path.name}")
    arrays = arrays_path(path)
    if not arrays.exists():
        message = f"initial arrays refused: {arrays.name} is missing beside the plan"
        raise InputRefused(message, next_step=f"run: consilium init-weights {path.name}")
    contract = read_contract(path, plan)
    refuse_unlike(plan, contract)
    return Material(plan, contract, arrays.read_bytes())


def read_contract(path: Path, plan: TrainingPlan) -> DataContract:
    """Read the contract beside a plan.

    Raises:
        InputRefused: the file is missing or does not fit.
    """
    return DataContract.from_toml(read_text(path.parent / plan.contract.file, "contract"))


def arrays_path(path: Path) -> Path:
    """Return where a plan's initial arrays stand."""
    return path.with_suffix(".safetensors")


def read_text(path: Path, what: str) -> str:
    """Read a file that a person names.

    Raises:
        InputRefused: it cannot be read as text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        message = f"{what} refused: {path.name} cannot be read"
        raise InputRefused(message, next_step="check the file's name and its permissions") from None
