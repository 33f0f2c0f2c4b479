"""The training plan: everything that a hospital approves, by digest, before anything runs.

* Sampling rates, expected batches and weights are constants written here, never computed from a
  cohort.
* `privacy.kind = "none"` must be written out.
* Initial arrays, frozen arrays and the contract are pinned by digest (`consilium init-weights PLAN`
  writes all).
"""

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from schemas.aggregation import Aggregation, Rate, UpdateGate
from schemas.base import Record
from schemas.gate import Metric, ModelGate, ReleaseCriteria
from schemas.names import Digest, Name, SiteName, Text
from schemas.network import NetworkSpec, SegmentationNetwork
from schemas.plan_rules import broken_rules
from schemas.privacy import NoiseMultiplier, SampledGaussian
from schemas.protection.settings import EvaluationProtection, Open, Protection

FileName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")
]


class PinnedFile(Record):
    """A file beside the plan, and the digest that its content must have; None until pinned."""

    file: FileName
    pinned: Digest | None = None


class InitialArrays(Record):
    """Where training starts: made by `consilium init-weights PLAN` from `seed`, or from a file.

    The file of `arrays` also fixes the layout of what leaves.
    """

    seed: int = Field(ge=0, lt=2**31)
    arrays: Digest | None = None
    frozen: Digest | None = None
    """The arrays that the plan does not train; they stand beside the plan, not in its messages."""
    pretrained: Digest | None = None
    """The file that both were taken from, for the record; None where all came from the seed."""


Trainable: TypeAlias = Literal["all", "norm-and-head", "head"]
"""What a plan trains of its network: the last linear layer, the normalisations too, or all."""

FROZEN_SUFFIX = ".frozen.safetensors"
"""In the place of `.toml`: the name of a plan's frozen arrays, beside it."""


class PlanSite(Record):
    """One hospital's declared constants."""

    site: SiteName
    weight: float = Field(default=1.0, ge=1e-6, le=1e9)
    """Public weight of its delta; only ratios matter."""
    expected_patients: float | None = Field(default=None, ge=1, le=1e9)
    """Public number of train patients: a private gradient is scaled for the rate times it."""
    role: Literal["trainer", "evaluator"] = "trainer"
    """An evaluator judges candidates on its validation patients, and is never asked to train."""


class AdamW(Record):
    """Loshchilov and Hutter 2019, arXiv:1711.05101; moments start at zero in every round."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Rate
    weight_decay: float = Field(default=0.01, ge=0, le=100)


class Sgd(Record):
    """Stochastic gradient descent; momentum starts at zero in every round."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Rate
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, le=100)


LocalOptimizer: TypeAlias = Annotated[AdamW | Sgd, Field(discriminator="kind")]


class Augmentation(Record):
    """Random flips, rotation, scale, shift and intensity, each image anew."""

    flip: bool = True
    rotation: float = Field(default=0.15, ge=0, le=3.15)
    """Radians."""
    scale: float = Field(default=0.1, ge=0, lt=1)
    shift: float = Field(default=0.08, ge=0, lt=1)
    """Of half the width."""
    intensity: float = Field(default=0.15, ge=0, lt=1)


class _Batches(Record):
    """What local work without privacy in batches has in common."""

    batch_images: int = Field(ge=1, le=1_000_000)
    optimizer: LocalOptimizer
    cosine: bool = False
    """The learning rate falls over the rounds from 1 to 0.02 of itself along half a cosine."""
    augmentation: Augmentation | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)

    def factor(self, round: int, rounds: int) -> float:  # noqa: A002 - the word of every record
        """Return what a round multiplies the learning rate with.

        Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, with 0.02 as the least.
        """
        if not self.cosine:
            return 1.0
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (round - 1) / rounds))


class Epochs(_Batches):
    """Passes over the shuffled train images; only without privacy."""

    kind: Literal["epochs"] = "epochs"
    epochs: int = Field(ge=1, le=10_000)


class Steps(_Batches):
    """A fixed number of batches, the same at every site; only without privacy."""

    kind: Literal["steps"] = "steps"
    steps: int = Field(ge=1, le=1_000_000)


class Gradient(Record):
    """The mean gradient over all train images; only without privacy."""

    kind: Literal["gradient"] = "gradient"


class PrivateSteps(Record):
    """Steps of DP-SGD over patients drawn at the plan's rate; only with patient-level privacy."""

    kind: Literal["private-steps"] = "private-steps"
    steps: int = Field(ge=1, le=1_000_000)
    optimizer: Sgd


LocalWork: TypeAlias = Annotated[
    Epochs | Steps | Gradient | PrivateSteps, Field(discriminator="kind")
]


class NoPrivacy(Record):
    """No guarantee at all; every node's policy must allow it."""

    kind: Literal["none"]


class PatientPrivacy(Record):
    """DP-SGD whose unit is the patient, under adding or removing one."""

    kind: Literal["patient"]
    sampling_rate: float = Field(ge=1e-6, le=1)
    noise_multiplier: NoiseMultiplier
    max_norm: float = Field(ge=1e-9, le=1e9)
    """Clipping bound C of a patient's mean gradient."""
    delta: float = Field(gt=0, le=0.01)


Privacy: TypeAlias = Annotated[NoPrivacy | PatientPrivacy, Field(discriminator="kind")]


class EvaluationPlan(Record):
    """Which rounds are judged, and the histogram that each site answers with."""

    rounds: tuple[int, ...] = Field(min_length=1)
    bins: int = Field(default=10, ge=2, le=1000)
    noise_multiplier: NoiseMultiplier | None = None
    """Noise on the histogram, whose L2 sensitivity is 1; None only without privacy."""
    protection: EvaluationProtection = "open"
    """What the aggregator sees: each site's histogram, or their sum alone."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if list(self.rounds) != sorted(set(self.rounds)) or self.rounds[0] < 1:
            message = "rounds are not distinct, ascending and at least 1"
            raise ValueError(message)
        return self


class Participation(Record):
    """How many replies a round needs, and how long it waits."""

    quorum: int = Field(ge=1)
    deadline_s: float = Field(default=600.0, gt=0, le=86400)
    conformance: Literal["optional", "required"] = "optional"
    """Whether a site counts only after its signed conformance report came, and says that it
    conforms to the plan's contract."""


class TrainingPlan(Record):
    """One training: data, network, local work, privacy, aggregation and gate."""

    schema_version: Literal[1] = 1
    name: Name
    title: Text
    contract: PinnedFile
    initial: InitialArrays
    network: NetworkSpec
    trainable: Trainable = "all"
    sites: tuple[PlanSite, ...] = Field(min_length=1)
    rounds: int = Field(ge=1, le=100_000)
    local: LocalWork
    privacy: Privacy
    aggregation: Aggregation = Aggregation()
    protection: Protection = Open()
    evaluation: EvaluationPlan
    update_gate: UpdateGate = UpdateGate()
    gate: ModelGate = ModelGate()
    release: ReleaseCriteria = ReleaseCriteria()
    participation: Participation
    threads: int = Field(default=1, ge=1, le=64)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        broken = broken_rules(self)
        if broken:
            raise ValueError("; ".join(broken))
        return self

    @property
    def is_pinned(self) -> bool:
        """Say whether contract, initial and frozen arrays are named by digest."""
        frozen = self.trainable == "all" or self.initial.frozen is not None
        return frozen and self.contract.pinned is not None and self.initial.arrays is not None

    @property
    def metric(self) -> Metric:
        """What its models are judged by."""
        return "dice" if isinstance(self.network, SegmentationNetwork) else "auroc"

    def site(self, name: SiteName) -> PlanSite | None:
        """Return one site's declared constants; None when the plan does not name it."""
        return next((one for one in self.sites if one.site == name), None)

    def local_distance(self, round: int) -> float:  # noqa: A002 - the word of every record
        """Return steps times learning rate of a round's local work: what scaffold divides by.

        Raises:
            ValueError: the local work has no steps that the plan fixes.
        """
        match self.local:
            case Steps(steps=steps) as local:
                return steps * local.optimizer.learning_rate * local.factor(round, self.rounds)
            case PrivateSteps(steps=steps, optimizer=optimizer):
                return steps * optimizer.learning_rate
            case _:
                message = f"local work of kind {self.local.kind} has no fixed number of steps"
                raise ValueError(message)

    @property
    def trainers(self) -> tuple[SiteName, ...]:
        """Name the sites that train, in name order."""
        return tuple(sorted(one.site for one in self.sites if one.role == "trainer"))

    def train_event(self) -> SampledGaussian | None:
        """Return what one round of training costs a train patient; None without privacy."""
        if isinstance(self.privacy, PatientPrivacy) and isinstance(self.local, PrivateSteps):
            return SampledGaussian(
                sampling_rate=self.privacy.sampling_rate,
                noise_multiplier=self.privacy.noise_multiplier,
                steps=self.local.steps,
            )
        return None

    def evaluation_event(self) -> SampledGaussian | None:
        """Return what one evaluation costs a validation patient; None without privacy."""
        if self.evaluation.noise_multiplier is None:
            return None
        return SampledGaussian(
            sampling_rate=1.0, noise_multiplier=self.evaluation.noise_multiplier, steps=1
        )
