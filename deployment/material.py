"""A study lead's files: the plan, its contract beside it, and the initial arrays.

NAME.plan.toml              what a person writes
CONTRACT.contract.toml      named by the plan
NAME.plan.safetensors       made by `consilium init-weights`: the arrays that are trained
NAME.plan.frozen.safetensors    and those that are not, for the hospitals, if there are any
"""

from dataclasses import dataclass
from pathlib import Path

import tomlkit

from aggregator.material import arrays_path, read_contract, read_text
from deployment.pretrained import Start, Weights, read_weights, started_from
from hospital_node.models.registry import built, trainable_arrays
from hospital_node.models.tuning import head_of, trained_names
from schemas.contract import DataContract
from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.names import Digest, digest_of
from schemas.plan import FROZEN_SUFFIX, TrainingPlan
from schemas.plan_rules import refuse_unlike
from schemas.wire.arrays import Arrays, encoded, layout_of


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pinned plan with its contract, and which of its network's arrays came from the seed."""

    plan: TrainingPlan
    contract: DataContract
    from_seed: tuple[str, ...]


def pin(path: Path, *, source: Path | None = None) -> Pinned:
    """Make a plan's initial and frozen arrays beside it, and pin them and its contract.

    Without a source they come from the plan's seed: the same seed, network and version of torch
    give the same arrays.

    Raises:
        InputRefused: a file is missing or does not fit, the plan is not one for its contract, or it
        needs weights and none are named.
    """
    text = read_text(path, "plan")
    plan = TrainingPlan.from_toml(text)
    contract = read_contract(path, plan)
    refuse_unlike(plan, contract)
    weights = None if source is None else read_weights(source)
    _refuse_without(plan, path, weights)
    network = built(plan, contract.preprocessing)
    own = trainable_arrays(network.module)
    start = Start(own, tuple(sorted(own)))
    if weights is not None:
        start = started_from(weights, own, head=head_of(network.module)[0])
    names = trained_names(network.module, plan.trainable)
    trained = {name: array for name, array in start.arrays.items() if name in names}
    frozen = {name: array for name, array in start.arrays.items() if name not in names}
    document = tomlkit.parse(text)
    document["contract"]["pinned"] = contract.digest
    document["initial"]["arrays"] = _written(arrays_path(path), trained)
    if frozen:
        document["initial"]["frozen"] = _written(path.with_suffix(FROZEN_SUFFIX), frozen)
    if weights is not None:
        document["initial"]["pretrained"] = weights.digest
    write_durably(path, tomlkit.dumps(document).encode())
    pinned = TrainingPlan.from_toml(path.read_text(encoding="utf-8"))
    return Pinned(pinned, contract, start.from_seed)


def _refuse_without(plan: TrainingPlan, path: Path, weights: Weights | None) -> None:
    """Refuse to take from the seed what a plan takes from a file."""
    if weights is not None:
        return
    again = f"name them: consilium init-weights {path.name} --from FILE.safetensors"
    if plan.trainable != "all":
        message = (
            f'plan refused: trainable is "{plan.trainable}", and no weights are named for the rest '
            "of the network, which is never trained"
        )
        raise InputRefused(message, next_step=again)
    if plan.initial.pretrained is not None:
        message = "plan refused: it starts from pretrained weights, and none are named now"
        raise InputRefused(message, next_step=f"{again}, or delete initial.pretrained")


def _written(path: Path, arrays: Arrays) -> Digest:
    content = encoded(arrays, layout_of(arrays))
    write_durably(path, content)
    return digest_of(content)
