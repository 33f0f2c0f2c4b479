"""A study lead's files: the plan, its contract beside it, and the initial arrays.

NAME.plan.toml              what a person writes
CONTRACT.contract.toml      named by the plan
NAME.plan.safetensors       made by `consilium init-weights`
"""

from pathlib import Path

import tomlkit

from aggregator.runs import Material
from hospital_node.models.registry import build, trainable_arrays
from schemas.contract import DataContract
from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.names import Digest, digest_of
from schemas.plan import TrainingPlan
from schemas.wire.arrays import encoded, layout_of


def read_material(path: Path) -> Material:
    """Read a pinned plan with the files that it names.

    Raises:
        InputRefused: a file is missing, or the plan is not pinned.
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
    return Material(plan, read_contract(path, plan), arrays.read_bytes())


def read_contract(path: Path, plan: TrainingPlan) -> DataContract:
    """Read the contract beside a plan.

    Raises:
        InputRefused: the file is missing or does not fit.
    """
    return DataContract.from_toml(read_text(path.parent / plan.contract.file, "contract"))


def pin(path: Path) -> tuple[TrainingPlan, Digest]:
    """Make a plan's initial arrays beside it and pin them; return the plan and its digest.

    The digests of the arrays and of the contract are written into the plan's file.

    The same seed, network and version of torch give the same arrays.

    Raises:
        InputRefused: a file is missing or does not fit.
    """
    text = read_text(path, "plan")
    plan = TrainingPlan.from_toml(text)
    contract = read_contract(path, plan)
    recipe = contract.preprocessing
    network = build(plan.network, height=recipe.height, width=recipe.width, seed=plan.initial.seed)
    arrays = trainable_arrays(network.module)
    content = encoded(arrays, layout_of(arrays))
    write_durably(arrays_path(path), content)
    document = tomlkit.parse(text)
    document["contract"]["pinned"] = contract.digest
    document["initial"]["arrays"] = digest_of(content)
    write_durably(path, tomlkit.dumps(document).encode())
    pinned = TrainingPlan.from_toml(path.read_text(encoding="utf-8"))
    return pinned, pinned.digest


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
