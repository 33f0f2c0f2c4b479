"""The self-test of the privacy mechanism, for the very network and loss, on random data.

* It runs the same code as training up to the noise, and compares with plain autograd, one patient
  at a time.
* It works on a copy in float64, so that rounding hides nothing; the slack below C that training
  keeps for float32 is `patient_level`'s.
* Removing one patient, of 1 to 10 images, must move the clipped sum by at most C.
* A network that fails trains nothing. A pass is remembered for the process, by the network's name.
"""

from copy import deepcopy
from dataclasses import replace
from threading import Lock

import torch
from torch import Tensor

from hospital_node.models.registry import Network
from hospital_node.training.examples import Examples
from hospital_node.training.objective import image_losses
from hospital_node.training.patient_level import (
    PatientOptimizer,
    accumulate,
    per_image_gradients,
)
from schemas.errors import SelfTestFailed

_IMAGES = (1, 2, 3, 10)
"""Images of the invented patients."""
_TOLERANCE = 2e-5
"""In units of C: of the sensitivity, and of each patient's part in the sum."""
_passed: set[str] = set()
_testing = Lock()


def check(network: Network) -> None:
    """Pass, or refuse to train with this network.

    Raises:
        SelfTestFailed: names the claim that does not hold, with what was found.
    """
    with _testing:
        if network.name in _passed:
            return
        try:
            _test(replace(network, module=deepcopy(network.module).double().train()))
        except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
            # So torch and Opacus say that a layer has no per-image gradient, or works in place.
            found = f"no gradient of every image ({type(error).__name__})"
            raise _failed(network, found, "one for each") from error
        _passed.add(network.name)


def _test(network: Network) -> None:
    examples = _invented(network.shape)
    gradients = _plain_gradients(network, examples)
    norms = torch.stack([one.norm() for one in gradients])
    # Both sides of the bound are met: the larger gradients are clipped, the smaller are not.
    bound = float(norms.median())
    if not 0.0 < bound < float("inf"):
        raise _failed(network, f"a gradient of norm {bound}", "a finite one above 0")
    whole = _clipped_sum(network, examples, bound)
    factors = (bound / norms).clamp(max=1.0)
    expected = factors @ torch.stack(gradients)
    difference = float((whole - expected).norm() / (bound * len(_IMAGES)))
    if not difference <= _TOLERANCE:
        found = f"clipped gradients that differ from the plain ones by {difference:.1e} C"
        raise _failed(network, found, f"{_TOLERANCE:.0e} C for each patient")
    for patient in range(len(_IMAGES)):
        rest = _clipped_sum(network, _without(examples, patient), bound)
        moved = float((whole - rest).norm() / bound)
        if not moved <= 1.0 + _TOLERANCE:
            found = f"that a patient of {_IMAGES[patient]} images moves the sum by {moved:.3f} C"
            raise _failed(network, found, "1 C")


def _invented(shape: tuple[int, ...]) -> Examples:
    generator = torch.Generator().manual_seed(0)
    patients = torch.repeat_interleave(torch.tensor(_IMAGES))
    order = torch.randperm(len(patients), generator=generator)
    inputs = torch.randn((len(patients), *shape), generator=generator).double()
    labels = torch.randint(2, (len(patients),), generator=generator).double()
    return Examples(inputs, labels, patients[order])


def _without(examples: Examples, patient: int) -> Examples:
    kept = examples.rows(examples.patients != patient)
    _, renumbered = torch.unique(kept.patients, return_inverse=True)
    return replace(kept, patients=renumbered)


def _clipped_sum(network: Network, examples: Examples, bound: float) -> Tensor:
    parameters = list(network.module.parameters())
    with per_image_gradients(network.module):
        optimizer = PatientOptimizer(
            torch.optim.SGD(parameters, 0.0),
            noise_multiplier=1.0,
            max_grad_norm=bound,
            expected_batch_size=1,
        )
        accumulate(network, examples, optimizer)
        return torch.cat([value.summed_grad.flatten() for value in parameters])  # type: ignore[attr-defined] # set by Opacus


def _plain_gradients(network: Network, examples: Examples) -> list[Tensor]:
    """Return each patient's gradient, from a batch that holds this patient alone."""
    parameters = list(network.module.parameters())
    found = []
    for patient in range(examples.patient_count):
        alone = examples.rows(examples.patients == patient)
        loss = image_losses(network.module(alone.inputs), alone.labels).mean()
        gradients = torch.autograd.grad(loss, parameters)
        found.append(torch.cat([one.flatten() for one in gradients]))
    return found


def _failed(network: Network, found: str, allowed: str) -> SelfTestFailed:
    return SelfTestFailed(
        f"training refused: the self-test of {network.name} found {found}, allowed: {allowed}",
        next_step="name another network in the plan, and report this one",
    )
