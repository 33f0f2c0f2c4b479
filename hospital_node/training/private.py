"""Private local work: patient-level DP-SGD, under adding or removing one patient.

* Patients are drawn independently at the plan's rate from the system's generator, anew in every
  step; at rate 1 all are, and the mechanism stays the same.
* A step that draws nobody is a step, of noise alone.
* Rate, noise, clipping bound, number of steps and divisor are constants of the plan; the cohort's
  size enters nowhere.
* The self-test has passed for this network, loss and engine before a patient's image is touched;
  its choice of an engine is that of `work.prepared`, and takes nothing from the cohort.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import SGD

from hospital_node.models.registry import Network, load_arrays, trainable_arrays
from hospital_node.privacy.randomness import secure_poisson
from hospital_node.training import self_test
from hospital_node.training.corrections import Correction, attach
from hospital_node.training.engines import ENGINES, device
from hospital_node.training.examples import Examples
from hospital_node.training.objective import Objective, image_losses
from hospital_node.training.patient_level import Release, clipped_sum, release
from schemas.plan import PatientPrivacy, PrivateSteps
from schemas.wire.arrays import Arrays


@dataclass(frozen=True, slots=True)
class Mechanism:
    """The plan's constants that make one round's release."""

    privacy: PatientPrivacy
    work: PrivateSteps
    expected_patients: float
    """The plan's declared number of train patients at this site, never the cohort's own."""
    correction: Correction | None = None
    """What the algorithm adds to a gradient after its noise."""


def trained_privately(
    network: Network,
    examples: Examples,
    *,
    start: Arrays,
    mechanism: Mechanism,
    objective: Objective = image_losses,
) -> dict[str, NDArray[np.float32]]:
    """Take the plan's steps from `start` and return the delta; the caller has charged them.

    Raises:
        SelfTestFailed: the clipped gradients of this network are not what the guarantee assumes.
        ArraysRefused: `start` does not fit the network.
    """
    choice = self_test.check(network, objective)
    module, privacy = network.module, mechanism.privacy
    load_arrays(module, start)
    module.train().to(device())
    try:
        optimizer = _optimizer(network, mechanism)
        attach(mechanism.correction, module, optimizer)
        for _ in range(mechanism.work.steps):
            drawn = secure_poisson(examples.patient_count, privacy.sampling_rate)
            chosen = torch.from_numpy(drawn)[examples.patients]
            sums = clipped_sum(
                module,
                examples.rows(chosen),
                bound=privacy.max_norm,
                engine=ENGINES[choice.engine],
                objective=objective,
            )
            release(sums, module, optimizer, constants=_constants(mechanism))
    finally:
        module.eval().to("cpu")
    return {name: value - start[name] for name, value in trainable_arrays(module).items()}


def _constants(mechanism: Mechanism) -> Release:
    privacy = mechanism.privacy
    divisor = privacy.sampling_rate * mechanism.expected_patients
    return Release(privacy.max_norm, privacy.noise_multiplier, divisor)


def _optimizer(network: Network, mechanism: Mechanism) -> SGD:
    local = mechanism.work.optimizer
    return SGD(
        network.module.parameters(),
        local.learning_rate,
        local.momentum,
        weight_decay=local.weight_decay,
    )
