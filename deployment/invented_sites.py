"""The hospitals of a simulation: invented patients, and homes that stand on disk.

* Hospitals differ in prevalence as the scenario says, and in scanner at random.
* A hospital of flipped labels has every label the wrong way round.
"""

import csv
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from deployment.outcome import exact_auroc
from deployment.poison import Attack
from hospital_node.cohort.desk import Desk
from hospital_node.cohort.ingest import ingest
from hospital_node.cohort.store import open_cohort
from hospital_node.cohort.synthetic import SyntheticSite, write_site
from hospital_node.config import NodeHome
from hospital_node.models.registry import built
from hospital_node.node import make, opened
from hospital_node.policy import Approval, Limit, approve, set_limit
from hospital_node.training.evaluation import scores
from hospital_node.training.examples import examples_of
from schemas.contract import DataContract
from schemas.names import SiteName
from schemas.plan import PatientPrivacy, TrainingPlan
from schemas.wire.arrays import declared_layout, decoded

HELD_OUT = "held-out"
"""The hospital that never takes part."""

_LEAST, _MOST = 0.05, 0.95
_PIXELS = 64
_APPROVER = "A steward (invented)"
_EPSILON = 1e6
"""An invented patient has nothing to lose; the plan's own figures are reported."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is played."""

    sites: int
    patients: int
    """Of each hospital."""
    dropout: float = 0.0
    """Probability that a hospital is away in a round."""
    skew: float = 0.0
    """0: all have one prevalence; 1: from nearly no to nearly only patients with the finding."""
    poisoners: int = 0
    attack: Attack = "sign-flip"
    seed: int = 1

    @property
    def names(self) -> tuple[SiteName, ...]:
        """Name the hospitals, in name order."""
        digits = len(str(self.sites))
        return tuple(f"site-{number:0{digits}d}" for number in range(1, self.sites + 1))

    @property
    def dishonest(self) -> frozenset[SiteName]:
        """Name those that poison: the first ones."""
        return frozenset(self.names[: self.poisoners])

    def prevalence(self, site: SiteName) -> float:
        """Return a hospital's share of patients with the finding: evenly spread, shuffled."""
        if site == HELD_OUT or self.sites == 1:
            return 0.5
        order = np.random.default_rng([self.seed, 1]).permutation(self.sites)
        place = order[self.names.index(site)] / (self.sites - 1) - 0.5
        return float(np.clip(0.5 + self.skew * place, _LEAST, _MOST))

    def is_away(self, site: SiteName, number: int) -> bool:
        """Say whether a hospital is away in a round."""
        place = self.names.index(site)
        return float(np.random.default_rng([self.seed, 2, place, number]).random()) < self.dropout


def furnish(home: Path, site: SiteName, contract: DataContract, *, scenario: Scenario) -> None:
    """Make one hospital's home with its cohort; its DICOM files are removed again."""
    make(home, site=site)
    data = home.parent / f"{site}-data"
    write_site(_scanner(site, scenario), data, seed=scenario.seed)
    if site in scenario.dishonest and scenario.attack == "flipped-labels":
        _flip(data / "labels.csv")
    with opened(home, command="simulate") as node:
        desk = Desk(site, node.pseudonym_key, node.home.cohort, lambda _done, _of: None, workers=1)
        ingest(data / "dicom", data / "labels.csv", contract, desk=desk)
    shutil.rmtree(data)


def agree(home: Path, plan: TrainingPlan) -> None:
    """Let one hospital approve the plan."""
    private = isinstance(plan.privacy, PatientPrivacy)
    with opened(home, command="simulate") as node:
        if isinstance(plan.privacy, PatientPrivacy):
            set_limit(NodeHome(home), Limit(epsilon=_EPSILON, delta=plan.privacy.delta))
        approval = Approval(
            plan=plan.digest,
            approver=_APPROVER,
            approved=node.clock(),
            without_privacy=not private,
        )
        approve(node.home, plan, approval)


def _scanner(site: SiteName, scenario: Scenario) -> SyntheticSite:
    place = 0 if site == HELD_OUT else scenario.names.index(site) + 1
    random = np.random.default_rng([scenario.seed, 3, place])
    patients = scenario.patients if site != HELD_OUT else max(200, scenario.patients)
    return SyntheticSite(
        name=site,
        patients=patients,
        prevalence=scenario.prevalence(site),
        rows=_PIXELS,
        columns=_PIXELS,
        photometric="MONOCHROME1" if random.random() < 1 / 2 else "MONOCHROME2",
        bits_stored=int(random.integers(8, 15)),
        transfer_syntax=ExplicitVRLittleEndian,
        modality="DX",
        manufacturer="Invented",
        gamma=float(math.exp(random.normal(0.0, 0.15))),
        noise=float(random.uniform(0.02, 0.05)),
        blur=float(random.uniform(0.4, 1.0)),
    )


def _flip(path: Path) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows([*row[:2], "1" if row[2] == "0" else "0"] for row in rows)


class HeldOut:
    """The hospital that never takes part: its images, and the network that scores them."""

    def __init__(self, home: Path, plan: TrainingPlan) -> None:
        cohort = open_cohort(NodeHome(home).cohort, plan.contract.pinned or "")
        self._network = built(plan, cohort.contract.preprocessing)
        self._labels = np.array([row.label for row in cohort.manifest.rows])
        none = np.zeros(len(self._labels), dtype=np.int64)
        self._examples = examples_of(self._network, cohort.pixels, labels=none, patients=none)

    def auroc(self, model: bytes) -> float | None:
        """Return the exact AUROC of a model over all images of the hospital."""
        arrays = decoded(model, declared_layout(model))
        return exact_auroc(self._labels == 1, scores(self._network, self._examples, arrays))
