"""The self-test of the privacy mechanism, for the very network, loss and engine, on random data.

* First the network and the loss: an image's loss does not depend on the images beside it, on a
  draw, or on what passed before; no buffer changes.
* Then engines, quickest first, until one is right: its clipped sum is that of plain autograd, one
  patient at a time, and removing one patient, of 1 to 10 images, moves it by at most C. A wrong
  engine is dropped by name.
* It runs the same code as training up to the noise, on a copy in float64, so that rounding hides
  nothing; the slack below C that training keeps for float32 is `engines_clipping`'s.
* Where no engine is right nothing trains. A choice is remembered for the process, by the network's
  name, the loss, the device and the threads; nothing of a cohort bears on it.
"""

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from threading import Lock

import torch
from torch import Tensor, nn

from hospital_node.models.registry import Network
from hospital_node.training.engines import ENGINES, device
from hospital_node.training.engines_calibration import REFUSALS, invented, timed
from hospital_node.training.engines_clipping import Engine, trainable
from hospital_node.training.examples import Examples
from hospital_node.training.objective import Objective, image_losses, losses_of
from hospital_node.training.patient_level import clipped_sum
from schemas.errors import SelfTestFailed

_LOGGER = logging.getLogger(__name__)
_IMAGES = (1, 2, 3, 10)
"""Images of the invented patients."""
_PART = 2e-5
"""How far a patient's part in the sum may be off, in units of C."""
_SENSITIVITY = 1.0 + 1e-5
"""How far a patient may move the sum, in units of C."""
_COUPLING = 1e-6
"""How far an image's loss may move with the images beside it, relative to losses of about 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that trains a network here, and those that may not."""

    engine: str
    patient_ms: float
    refused: Mapping[str, str]


_choices: dict[tuple[object, ...], Choice] = {}
_testing = Lock()


def check(network: Network, objective: Objective = image_losses) -> Choice:
    """Choose the quickest engine that is right, or refuse to train with this network and loss.

    Engines are timed with patients of one image each, whatever the cohort's patients have.

    Raises:
        SelfTestFailed: names the claim that does not hold, or each engine with its fault.
    """
    key = (network.name, objective, device(), torch.get_num_threads())
    with _testing:
        if key not in _choices:
            _choices[key] = _chosen(network, objective)
        return _choices[key]


def network_fault(network: Network, objective: Objective) -> str | None:
    """Return why this network and loss may not train at all, whatever the engine."""
    module = _doubled(network.module)
    before = {name: value.clone() for name, value in module.named_buffers()}
    with torch.no_grad():
        try:
            inputs, labels = _placed(invented(module, network.shape, _IMAGES))
            together = losses_of(objective, module(inputs), labels)
            again = losses_of(objective, module(inputs), labels)
            alone = torch.cat(
                [
                    losses_of(objective, module(one), label)
                    for one, label in zip(
                        torch.split(inputs, 1), torch.split(labels, 1), strict=True
                    )
                ]
            )
        except REFUSALS as error:
            return f"no loss of every image ({type(error).__name__}: {error})"
    for name, value in module.named_buffers():
        if not torch.equal(value, before[name]):
            return f"that training changes the buffer {name}"
    if not together.isfinite().all():
        return "losses that are not finite"
    if not torch.equal(together, again):
        return "losses that differ from one pass to the next"
    moved = float((together - alone).abs().max())
    if moved > _COUPLING:
        return f"that an image's loss moves by {moved:.1e} with the images beside it"
    return _gradient_fault(module, network.shape, objective)


def _gradient_fault(module: nn.Module, shape: tuple[int, ...], objective: Objective) -> str | None:
    try:
        gradients = _plain_gradients(module, invented(module, shape, _IMAGES), objective)
    except REFUSALS as error:
        return f"no gradient of every patient ({type(error).__name__})"
    bound = _bound_of(gradients)
    return None if 0.0 < bound < float("inf") else f"a gradient of norm {bound}"


def engine_fault(engine: Engine, network: Network, objective: Objective) -> str | None:
    """Return what is wrong with an engine for this network and loss, or None."""
    module = _doubled(network.module)
    try:
        examples = invented(module, network.shape, _IMAGES)
        gradients = _plain_gradients(module, examples, objective)
        bound = _bound_of(gradients)
        norms = torch.stack([one.norm() for one in gradients])
        expected = (bound / norms).clamp(max=1.0) @ torch.stack(gradients)
        whole = _flat_sum(module, examples, bound, engine=engine, objective=objective)
        difference = float((whole - expected).norm() / (bound * len(_IMAGES)))
        if not difference <= _PART:
            return f"clipped gradients that differ from the plain ones by {difference:.1e} C"
        for patient in range(len(_IMAGES)):
            rest = _flat_sum(
                module, _without(examples, patient), bound, engine=engine, objective=objective
            )
            moved = float((whole - rest).norm() / bound)
            if not moved <= _SENSITIVITY:
                return f"that a patient of {_IMAGES[patient]} images moves the sum by {moved:.5f} C"
    except REFUSALS as error:
        return f"no gradient of every patient ({type(error).__name__})"
    return None


def _chosen(network: Network, objective: Objective) -> Choice:
    fault = network_fault(network, objective)
    if fault is not None:
        raise _failed(network, fault, "one loss for each image, of that image alone")
    times, refused = timed(network.module, network.shape, objective)
    for name, patient_ms in times.items():
        reason = engine_fault(ENGINES[name], network, objective)
        if reason is None:
            choice = Choice(name, patient_ms, refused)
            _LOGGER.info(
                "self-test of %s passed: engine %s, %.2f ms per patient on %s; refused: %s",
                network.name,
                name,
                patient_ms,
                device(),
                _listed(refused) or "none",
            )
            return choice
        refused[name] = reason
    raise _failed(network, f"no sound engine of gradients ({_listed(refused)})", "at least one")


def _listed(refused: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in refused.items())


def _doubled(module: nn.Module) -> nn.Module:
    return deepcopy(module).double().train().to(device())


def _placed(examples: Examples) -> tuple[Tensor, Tensor]:
    return examples.inputs.to(device()), examples.labels.to(device())


def _without(examples: Examples, patient: int) -> Examples:
    kept = examples.rows(examples.patients != patient)
    _, renumbered = torch.unique(kept.patients, return_inverse=True)
    return replace(kept, patients=renumbered)


def _flat_sum(
    module: nn.Module, examples: Examples, bound: float, *, engine: Engine, objective: Objective
) -> Tensor:
    sums = clipped_sum(module, examples, bound=bound, engine=engine, objective=objective)
    return torch.cat([one.flatten() for one in sums])


def _plain_gradients(module: nn.Module, examples: Examples, objective: Objective) -> list[Tensor]:
    """Return each patient's gradient, from a batch that holds this patient alone."""
    inputs, labels = _placed(examples)
    found = []
    for patient in range(examples.patient_count):
        own = (examples.patients == patient).to(inputs.device)
        loss = losses_of(objective, module(inputs[own]), labels[own]).mean()
        gradients = torch.autograd.grad(loss, trainable(module))
        found.append(torch.cat([one.flatten() for one in gradients]))
    return found


def _bound_of(gradients: list[Tensor]) -> float:
    """Take a bound that has two sides: larger gradients are clipped, smaller ones are not."""
    return float(torch.stack([one.norm() for one in gradients]).median())


def _failed(network: Network, found: str, allowed: str) -> SelfTestFailed:
    return SelfTestFailed(
        f"training refused: the self-test of {network.name} found {found}, allowed: {allowed}",
        next_step="name another network in the plan, and report this one",
    )
