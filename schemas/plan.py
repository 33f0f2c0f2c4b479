"""The training plan: everything that a hospital approves, by digest, before anything runs.

* Sampling rates, expected batches and weights are constants written here, never computed from a
  cohort.
* `privacy.kind = "none"` must be written out.
* Initial arrays, frozen arrays and the contract are pinned by digest (`consilium init-weights PLAN`
  writes all).
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Record
from schemas.gate import ModelGate
from schemas.names import Digest, Name, SiteName, Text
from schemas.network import GaborFourier, NetworkSpec, SegmentationNetwork
from schemas.privacy import NoiseMultiplier, SampledGaussian

Rate: TypeAlias = Annotated[float, Field(gt=0, le=1e4)]
"""A learning rate; beyond this a step of float32 arrays means nothing."""

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


class Epochs(Record):
    """Passes over the shuffled train images; only without privacy."""

    kind: Literal["epochs"] = "epochs"
    epochs: int = Field(ge=1, le=10_000)
    batch_images: int = Field(ge=1, le=1_000_000)
    optimizer: LocalOptimizer
    cosine: bool = False
    """The learning rate falls over the rounds from 1 to 0.02 of itself along half a cosine."""
    augmentation: Augmentation | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)


class PrivateSteps(Record):
    """Steps of DP-SGD over patients drawn at the plan's rate; only with patient-level privacy."""

    kind: Literal["private-steps"] = "private-steps"
    steps: int = Field(ge=1, le=1_000_000)
    optimizer: Sgd


LocalWork: TypeAlias = Annotated[Epochs | PrivateSteps, Field(discriminator="kind")]


class NoPrivacy(Record):
    """No guarantee at all; every node's policy must allow it."""

    kind: Literal["none"]


class PatientPrivacy(Record):
    """DP-SGD whose unit is the patient, under adding or removing one."""

    kind: Literal["patient"]
    sampling_rate: float = Field(gt=0, le=1)
    noise_multiplier: NoiseMultiplier
    max_norm: float = Field(ge=1e-9, le=1e9)
    """Clipping bound C of a patient's mean gradient."""
    delta: float = Field(gt=0, le=0.01)


Privacy: TypeAlias = Annotated[NoPrivacy | PatientPrivacy, Field(discriminator="kind")]


class Personalisation(Record):
    """Every site trains arrays of its own, made of deltas that left and of what came back.

    own next = own + shared * (the federation's step) + (1 - shared) * (the site's own step). Under
    privacy both steps are of noised deltas, so the site's model costs nothing beyond them
    (post-processing, Dwork and Roth 2014, proposition 2.1); it never leaves the site.
    """

    shared: float = Field(default=0.5, ge=0, le=1)
    """1: every site follows the federation; 0: every site trains alone."""


class Aggregation(Record):
    """Combiner and server optimizer.

    next = current + learning_rate * velocity, velocity = momentum * velocity + mean delta.

    McMahan et al. 2017 (arXiv:1602.05629) with learning rate 1 and no momentum; Hsu et al. 2019
    (arXiv:1909.06335, FedAvgM) with momentum.
    """

    algorithm: Literal["fedavg", "fedavgm"] = "fedavg"
    learning_rate: Rate = 1.0
    momentum: float = Field(default=0.0, ge=0, lt=1)
    average_from: int | None = Field(default=None, ge=1)
    """Candidates are the mean of the iterates since this round; training goes on from the last."""
    max_update_norm: float | None = Field(default=None, ge=1e-9, le=1e9)
    """A public bound on the L2 norm of a delta; longer ones are quarantined."""
    personalisation: Personalisation | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.algorithm == "fedavgm") != (self.momentum > 0):
            message = "fedavgm needs a momentum above 0, and fedavg none"
            raise ValueError(message)
        return self


class EvaluationPlan(Record):
    """Which rounds are judged, and the histogram that each site answers with."""

    rounds: tuple[int, ...] = Field(min_length=1)
    bins: int = Field(default=10, ge=2, le=1000)
    noise_multiplier: NoiseMultiplier | None = None
    """Noise on the histogram, whose L2 sensitivity is 1; None only without privacy."""

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
    protection: Literal["open"] = "open"
    evaluation: EvaluationPlan
    gate: ModelGate = ModelGate()
    participation: Participation
    threads: int = Field(default=1, ge=1, le=64)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [*self._faults(), *self._training_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _faults(self) -> list[str]:
        private = isinstance(self.privacy, PatientPrivacy)
        names = [one.site for one in self.sites]
        found = {
            "a site is listed twice": len(set(names)) != len(names),
            "a judged round lies after the last round": self.evaluation.rounds[-1] > self.rounds,
            "the quorum is larger than the number of sites": self.participation.quorum > len(names),
            "the gate's min_sites is larger than the number of sites": self.gate.min_sites
            > len(names),
            "privacy needs local.kind private-steps": private
            and not isinstance(self.local, PrivateSteps),
            "local.kind private-steps needs privacy": not private
            and isinstance(self.local, PrivateSteps),
            "privacy needs evaluation.noise_multiplier": private
            and self.evaluation.noise_multiplier is None,
            "evaluation.noise_multiplier needs privacy": not private
            and self.evaluation.noise_multiplier is not None,
            "privacy needs expected_patients of every site": private
            and any(one.expected_patients is None for one in self.sites),
            "average_from lies after the first judged round": self.aggregation.average_from
            is not None
            and self.aggregation.average_from > self.evaluation.rounds[0],
        }
        return [text for text, wrong in found.items() if wrong]

    def _training_faults(self) -> list[str]:
        network = self.network
        tunes, drops = self.trainable != "all", getattr(network, "dropout", 0.0) > 0
        on_features = isinstance(network, GaborFourier) or self.trainable == "head"
        found = {
            "dropout draws are not part of the private mechanism": drops
            and isinstance(self.privacy, PatientPrivacy),
            "a segmentation network needs masks, which no contract can name": isinstance(
                network, SegmentationNetwork
            ),
            "trainable head and norm-and-head need a classifier with a trained body": tunes
            and isinstance(network, GaborFourier | SegmentationNetwork),
            "initial.frozen needs trainable head or norm-and-head": not tunes
            and self.initial.frozen is not None,
            "what trains on fixed features can neither augment images nor drop": on_features
            and (drops or getattr(self.local, "augmentation", None) is not None),
        }
        return [text for text, wrong in found.items() if wrong]

    @property
    def is_pinned(self) -> bool:
        """Say whether contract, initial and frozen arrays are named by digest."""
        frozen = self.trainable == "all" or self.initial.frozen is not None
        return frozen and self.contract.pinned is not None and self.initial.arrays is not None

    def site(self, name: SiteName) -> PlanSite | None:
        """Return one site's declared constants; None when the plan does not name it."""
        return next((one for one in self.sites if one.site == name), None)

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
