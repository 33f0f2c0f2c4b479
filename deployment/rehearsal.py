"""A rehearsal: a plan's mechanism on invented patients, and what it gives away of who was there.

* The code is the nodes' own, `trained_privately`: sampler, clipping, noise and self-test, over the
  plan's rounds and steps. Nothing of it can be turned off from here.
* A canary is a patient whose clipped gradient is C times a unit vector of its own, so it moves one
  coordinate and no other; half of them, drawn anew, take part (Nasr et al. 2023,
  arXiv:2302.07956, section 4: Dirac canaries).
* A canary's score is its coordinate in the sum of all noised releases. What an optimizer makes of
  them is post-processing, so a step is made too small to move any gradient.
* A bound below the claim shows no fault; it proves no privacy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from deployment import rehearsal_bounds as bounds
from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.privacy.randomness import secure_poisson
from hospital_node.training.examples import Examples
from hospital_node.training.private import Mechanism, trained_privately
from schemas import accounting
from schemas.base import Record
from schemas.errors import InputRefused
from schemas.names import Name
from schemas.plan import PatientPrivacy, PrivateSteps, Sgd, TrainingPlan
from schemas.privacy import SampledGaussian

Training: TypeAlias = Callable[..., Mapping[str, NDArray[np.float32]]]
"""As `trained_privately`."""

CANARIES = 2000
RUNS = 10
CONFIDENCE = 0.95
_LENGTH = 64.0
"""A canary's gradient before it is clipped, in units of 2 C."""
_STEP = 1e-9


class Rehearsal(Record):
    """What a plan claims, and what was shown of it."""

    plan: Name
    delta: float
    claimed_rdp: float
    """Epsilon of all the plan's training, by Renyi accounting."""
    claimed_pld: float
    """The same by privacy loss distributions: what the verdict is held against."""
    canaries: int
    """In all runs together."""
    runs: int
    confidence: float
    epsilon_one_run: float = Field(ge=0)
    """Shown, whatever the mechanism is (Steinke et al. 2023)."""
    epsilon_independent: float = Field(ge=0)
    """Shown, with canaries taken as independent (Nasr et al. 2023)."""
    most_noise: float
    """Noise over the plan's that the guesses still allow; at 1 or below the noise is too small."""
    hits: float
    """Share of the canaries in that a fixed threshold finds."""
    alarms: float
    """Share of the canaries out that it takes for in."""
    verdict: Literal["consistent", "VIOLATED"]

    @property
    def shown(self) -> float:
        """Return the larger of the two lower bounds; they hold together at the confidence."""
        return max(self.epsilon_one_run, self.epsilon_independent)


def rehearsed(
    plan: TrainingPlan,
    *,
    canaries: int = CANARIES,
    runs: int = RUNS,
    confidence: float = CONFIDENCE,
    training: Training = trained_privately,
) -> Rehearsal:
    """Train on canaries with a plan's mechanism and bound epsilon from below.

    Raises:
        InputRefused: the plan has no privacy.
        SelfTestFailed: the clipped gradients are not what the guarantee assumes.
    """
    event, privacy = _private(plan)
    torch.set_num_threads(plan.threads)
    claimed = [event.model_copy(update={"steps": event.steps * plan.rounds})]
    trials = [_trial(plan, privacy, canaries, training=training) for _ in range(runs)]
    scores, members = (np.concatenate(one) for one in zip(*trials, strict=True))
    error = (1.0 - confidence) / 2
    expected = claimed[0].steps * privacy.sampling_rate
    rates = bounds.rates(scores, members, threshold=expected / 2)
    noise = bounds.most_noise(rates, claimed, error=error)
    shown = (
        bounds.one_run(scores, members, delta=privacy.delta, error=error),
        bounds.epsilon_at(claimed, noise, delta=privacy.delta),
    )
    pld = accounting.epsilon_pld(claimed, delta=privacy.delta)
    return Rehearsal(
        plan=plan.name,
        delta=privacy.delta,
        claimed_rdp=accounting.epsilon_rdp(claimed, delta=privacy.delta),
        claimed_pld=pld,
        canaries=len(scores),
        runs=runs,
        confidence=confidence,
        epsilon_one_run=shown[0],
        epsilon_independent=shown[1],
        most_noise=noise,
        hits=rates.true[0] / max(1, rates.true[1]),
        alarms=rates.false[0] / max(1, rates.false[1]),
        verdict="VIOLATED" if max(shown) > pld or noise <= 1.0 else "consistent",
    )


def _private(plan: TrainingPlan) -> tuple[SampledGaussian, PatientPrivacy]:
    event = plan.train_event()
    if event is None or not isinstance(plan.privacy, PatientPrivacy):
        message = "rehearsal refused: the plan has no privacy, so it claims no epsilon"
        raise InputRefused(message, next_step='name a plan with privacy.kind = "patient"')
    return event, plan.privacy


def _trial(
    plan: TrainingPlan, privacy: PatientPrivacy, canaries: int, *, training: Training
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return every canary's score, in units of C, and whether it took part."""
    network = _coordinates(canaries)
    members = secure_poisson(canaries, 0.5)
    places = torch.from_numpy(np.flatnonzero(members))
    examples = Examples(
        inputs=torch.eye(canaries)[places] * (2 * _LENGTH * privacy.max_norm),
        labels=torch.zeros(len(places)),
        patients=torch.arange(len(places)),
    )
    mechanism, step = _mechanism(plan, privacy)
    start = trainable_arrays(network.module)
    scores = np.zeros(canaries)
    for _ in range(plan.rounds):
        delta = training(network, examples, start=start, mechanism=mechanism)
        scores -= _flat(list(delta.values())) / (step * privacy.max_norm)
    return scores, members


def _mechanism(plan: TrainingPlan, privacy: PatientPrivacy) -> tuple[Mechanism, float]:
    """Return the plan's mechanism with a step that moves no gradient, and the step."""
    steps = plan.local.steps if isinstance(plan.local, PrivateSteps) else 1
    # A weight stays so near 0 that a canary's logit does, whatever the noise: its loss has slope
    # 1/2 in every step, and its gradient the same direction and length.
    most = privacy.max_norm * steps * (1.0 + privacy.noise_multiplier)
    step = _STEP / (privacy.max_norm * most)
    work = PrivateSteps(steps=steps, optimizer=Sgd(learning_rate=step))
    return Mechanism(privacy, work, expected_patients=1.0 / privacy.sampling_rate), step


def _coordinates(count: int) -> Network:
    """Return a network with one weight for each canary, at zero."""
    layer = _Coordinates(count)
    return Network(f"rehearsal-{count}", layer.eval(), _unchanged, (count,))


class _Coordinates(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.layer = nn.Linear(count, 1, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layer(inputs)
        return logits.squeeze(1)


def _unchanged(images: Tensor) -> Tensor:
    return images


def _flat(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.concatenate([one.astype(np.float64).ravel() for one in arrays])
