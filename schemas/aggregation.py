"""What a plan says of aggregation: algorithm, combiner, server optimizer and update gate.

* `ALGORITHMS` is the one table: each row is local work, combiners and a server step by the name of
  the paper. What is not in a row is refused when the plan is read.
* Weights are the plan's; combiners that resist a dishonest site count every site once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.base import Record

AlgorithmName: TypeAlias = Literal[
    "fedsgd",
    "fedavg",
    "fedavgm",
    "fedprox",
    "fedadagrad",
    "fedadam",
    "fedyogi",
    "scaffold",
    "fednova",
]

Rate: TypeAlias = Annotated[float, Field(gt=0, le=1e4)]
"""A learning rate; beyond this a step of float32 arrays means nothing."""

ServerStep: TypeAlias = Literal["plain", "momentum", "adagrad", "adam", "yogi", "variates"]
"""How the combined delta moves the model."""


class Mean(Record):
    """The mean by the plan's weights."""

    kind: Literal["mean"] = "mean"


class Median(Record):
    """The median of every coordinate (Yin et al. 2018, arXiv:1803.01498, definition 1)."""

    kind: Literal["median"] = "median"


class TrimmedMean(Record):
    """The mean of every coordinate without its extremes (Yin et al. 2018, definition 2)."""

    kind: Literal["trimmed-mean"] = "trimmed-mean"
    trim: int = Field(ge=1)
    """Sites whose values are left out at either end."""


class Krum(Record):
    """The mean of the updates that lie nearest to their neighbours.

    Blanchard et al. 2017, arXiv:1703.02757, section 4; `keep` above 1 is its Multi-Krum.
    """

    kind: Literal["krum"] = "krum"
    dishonest: int = Field(ge=1)
    """Sites that may lie: the paper's f."""
    keep: int = Field(default=1, ge=1)
    """Updates that are averaged: the paper's m."""


CombinerRule: TypeAlias = Annotated[Mean | Median | TrimmedMean | Krum, Field(discriminator="kind")]


def least_quorum(combiner: CombinerRule) -> int:
    """Return how many updates a combiner needs for what it promises.

    Krum: n >= 2 f + 3 (its proposition 4.2), and no more are kept than n - f - 2.
    """
    match combiner:
        case Mean():
            return 1
        case Median():
            return 3
        case TrimmedMean(trim=trim):
            return 2 * trim + 1
        case Krum(dishonest=dishonest, keep=keep):
            return max(2 * dishonest + 3, keep + dishonest + 2)


@dataclass(frozen=True, slots=True)
class AlgorithmRow:
    """One algorithm: what the sites do, which settings it has, and the server's step."""

    server: ServerStep
    local: tuple[str, ...]
    """Kinds of local work that it is defined for."""
    combiners: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Settings that it must have."""
    allows: tuple[str, ...] = ()
    """Settings that it may have."""
    is_personal: bool = False
    """Whether sites may keep arrays of their own; the node repeats the server's step for them."""


_PASSES = ("epochs", "steps", "private-steps")
_ANY = ("mean", "median", "trimmed-mean", "krum")

ALGORITHMS: Mapping[AlgorithmName, AlgorithmRow] = MappingProxyType(
    {
        # McMahan et al. 2017, arXiv:1602.05629, section 2: w <- w - eta sum_k (n_k / n) g_k.
        "fedsgd": AlgorithmRow("plain", ("gradient", "private-steps"), _ANY),
        # McMahan et al. 2017, algorithm 1.
        "fedavg": AlgorithmRow("plain", _PASSES, _ANY, is_personal=True),
        # Hsu et al. 2019, arXiv:1909.06335, section 4.3.
        "fedavgm": AlgorithmRow("momentum", _PASSES, _ANY, needs=("momentum",), is_personal=True),
        # Li et al. 2020, arXiv:1812.06127, equation 2: F_k(w) + (mu / 2) ||w - w_t||^2.
        "fedprox": AlgorithmRow("plain", _PASSES, _ANY, needs=("proximal",)),
        # Reddi et al. 2021, arXiv:2003.00295, algorithm 2.
        "fedadagrad": AlgorithmRow("adagrad", _PASSES, _ANY, needs=("adaptivity",)),
        "fedadam": AlgorithmRow(
            "adam", _PASSES, _ANY, needs=("second_momentum", "adaptivity"), allows=("momentum",)
        ),
        "fedyogi": AlgorithmRow(
            "yogi", _PASSES, _ANY, needs=("second_momentum", "adaptivity"), allows=("momentum",)
        ),
        # Karimireddy et al. 2020, arXiv:1910.06378, algorithm 1, option II.
        "scaffold": AlgorithmRow("variates", ("steps", "private-steps"), ("mean",)),
        # Wang et al. 2020, arXiv:2007.07481, equation 6.
        "fednova": AlgorithmRow("plain", ("epochs", "steps"), _ANY, needs=("effective_steps",)),
    }
)

_SETTINGS = ("momentum", "proximal", "second_momentum", "adaptivity", "effective_steps")


class Personalisation(Record):
    """Every site trains arrays of its own, made of deltas that left and of what came back.

    own next = own + shared * (the federation's step) + (1 - shared) * (the site's own step). Under
    privacy both steps are of noised deltas, so the site's model costs nothing beyond them
    (post-processing, Dwork and Roth 2014, proposition 2.1); it never leaves the site.
    """

    shared: float = Field(default=0.5, ge=0, le=1)
    """1: every site follows the federation; 0: every site trains alone."""


class Aggregation(Record):
    """Algorithm, combiner and server optimizer; `ALGORITHMS` says which settings each takes."""

    algorithm: AlgorithmName = "fedavg"
    combiner: CombinerRule = Mean()
    learning_rate: Rate = 1.0
    """Of the server optimizer."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """beta of fedavgm, beta_1 of fedadam and fedyogi."""
    second_momentum: float | None = Field(default=None, gt=0, lt=1)
    """beta_2 of fedadam and fedyogi."""
    adaptivity: float | None = Field(default=None, ge=1e-12, le=1e6)
    """tau of fedadagrad, fedadam and fedyogi."""
    proximal: float | None = Field(default=None, gt=0, le=1e6)
    """mu of fedprox."""
    effective_steps: float | None = Field(default=None, gt=0, le=1e6)
    """tau_eff of fednova: steps that a round counts as, whatever a site's own number."""
    average_from: int | None = Field(default=None, ge=1)
    """Candidates are the mean of the iterates since this round; training goes on from the last."""
    personalisation: Personalisation | None = None

    @property
    def row(self) -> AlgorithmRow:
        """The algorithm's row of the table."""
        return ALGORITHMS[self.algorithm]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        faults = [*self._wrong_settings()]
        if self.combiner.kind not in self.row.combiners:
            allowed = ", ".join(self.row.combiners)
            faults.append(f"{self.algorithm} is defined for the combiner {allowed} only")
        if self.personalisation is not None and not (
            self.row.is_personal and isinstance(self.combiner, Mean)
        ):
            faults.append("personalisation needs fedavg or fedavgm and the combiner mean")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _wrong_settings(self) -> list[str]:
        given = [name for name in _SETTINGS if getattr(self, name)]
        row = self.row
        missing = [name for name in row.needs if name not in given]
        idle = [name for name in given if name not in (*row.needs, *row.allows)]
        return [
            *(f"{self.algorithm} needs {name} above 0" for name in missing),
            *(f"{self.algorithm} has no {name}" for name in idle),
        ]


class UpdateGate(Record):
    """What an update must be before it counts. One that is not is left out by name."""

    max_norm: float | None = Field(default=None, ge=1e-9, le=1e9)
    """A public bound on the L2 norm of a delta."""
    max_norm_ratio: float = Field(default=10.0, gt=1, le=1e6)
    """An update this many times longer than the median of the others is left out."""
    least_cosine: float = Field(default=-0.25, ge=-1, le=1)
    """An update whose mean cosine with the others lies under it is opposed to them."""
    opposed_norm_ratio: float = Field(default=5.0, ge=0, le=1e6)
    """An opposed update this many times longer than the median of the others is left out.

    Opposition alone is no fault: where the sites' optima differ, their updates sum to little, and
    honest ones point against each other.
    """
