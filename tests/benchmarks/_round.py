"""The work that a round is measured on, and homes in which the whole framework does it.

A site has 200 random images of 64 x 64 and passes over them once in batches of 32, by stochastic
gradient descent at 0.01, in one thread. The network has 1,202,448 parameters; the loss reads the
first of its ten outputs, which changes nothing in the work.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import aggregator.config
import aggregator.federation
import hospital_node.config
import hospital_node.node
from aggregator.config import AggregatorHome, load_root
from aggregator.runs import Material
from hospital_node.cohort.packs import seal
from hospital_node.cohort.store import PIXELS, Records, place, workshop
from hospital_node.config import NodeHome
from hospital_node.models.registry import Network, trainable_arrays
from hospital_node.policy import Approval, approve
from schemas.contract import CohortRules, DataContract, LabelClass, LabelRules, PartByColumn
from schemas.enrolment import fingerprint_of
from schemas.image_rules import ImageRules, Range
from schemas.manifest import DatasetManifest, ImageRow
from schemas.names import digest_of, now
from schemas.network import ConvolutionalNetwork
from schemas.plan import (
    Epochs,
    EvaluationPlan,
    InitialArrays,
    NoPrivacy,
    Participation,
    PinnedFile,
    PlanSite,
    Sgd,
    TrainingPlan,
)
from schemas.recipe import FixedNormalisation, Preprocessing, StoredBits
from schemas.wire.arrays import encoded, layout_of

SIDE, IMAGES, BATCH, RATE = 64, 200, 32, 0.01
HIDDEN = 146
"""Width of the hidden layer: 1,202,448 parameters in all."""
SITES = ("A", "B", "C", "D")


class SmallNetwork(nn.Module):
    """Two convolutions with pooling, one hidden layer, ten outputs."""

    def __init__(self, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = nn.Linear(32 * (SIDE // 4) ** 2, hidden)
        self.last = nn.Linear(hidden, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return the first output of each image, [batch]."""
        seen = torch.max_pool2d(torch.relu(self.first(images)), 2)
        seen = torch.max_pool2d(torch.relu(self.second(seen)), 2)
        logits: Tensor = self.last(torch.relu(self.hidden(seen.flatten(1))))
        return logits[:, 0]


def network(hidden: int = HIDDEN) -> Network:
    """Make the network, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = SmallNetwork(hidden)
    return Network("benchmark", module, lambda images: images, (1, SIDE, SIDE))


@dataclass(frozen=True, slots=True)
class Homes:
    """Where the silos stand, and what they are to train."""

    aggregator: Path
    nodes: tuple[Path, ...]
    material: Material


@dataclass(frozen=True, slots=True)
class Size:
    """What is measured: how many sites, how large a network, and whether each round is judged."""

    sites: tuple[str, ...] = SITES
    hidden: int = HIDDEN
    judged: bool = False


WHOLE = Size()


def homes(folder: Path, *, rounds: int, size: Size = WHOLE, address: str = "") -> Homes:
    """Make a home for each silo, with a cohort and an approved plan.

    With an address the aggregator can be reached over a network.
    """
    arrays = trainable_arrays(network(size.hidden).module)
    initial = encoded(arrays, layout_of(arrays))
    rules = contract()
    plan = _plan(rules, initial, rounds=rounds, size=size)
    aggregator.federation.make(folder / "aggregator", federation="benchmark", address=address)
    root = load_root(AggregatorHome(folder / "aggregator"))
    fingerprint = fingerprint_of(root) if address else ""
    for number, site in enumerate(size.sites):
        home = NodeHome(folder / site)
        hospital_node.node.make(home.root, site=site, address=address, fingerprint=fingerprint)
        _store_cohort(home, rules, seed=number)
        approval = Approval(
            plan=plan.digest, approver="benchmark", approved=now(), without_privacy=True
        )
        approve(home, plan, approval)
    nodes = tuple(folder / site for site in size.sites)
    return Homes(folder / "aggregator", nodes, Material(plan, rules, initial))


def _store_cohort(home: NodeHome, contract: DataContract, *, seed: int) -> None:
    """Store random images as an ingested cohort; a tenth more are validation images."""
    count = IMAGES + IMAGES // 10
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal((count, SIDE, SIDE), dtype=np.float32)
    pixels = drawn[np.argsort([digest_of(one.tobytes()) for one in drawn])]
    rows = [
        ImageRow(
            image=digest_of(one.tobytes()),
            patient=secrets.token_hex(16),
            part="train" if index < IMAGES else "validation",
            label=int(generator.integers(2)),
        )
        for index, one in enumerate(pixels)
    ]
    with workshop(home.cohort) as folder:
        np.save(folder / PIXELS, pixels)
        manifest = DatasetManifest(
            site=home.root.name,
            contract=contract.digest,
            pack=seal(folder / PIXELS),
            height=SIDE,
            width=SIDE,
            read=count,
            rows=tuple(rows),
            not_used=(),
        )
        place(folder, home.cohort, Records(contract, manifest, ()))


def contract() -> DataContract:
    """Write a contract that random images keep."""
    every = Range(least=1, most=1024)
    return DataContract(
        id="benchmark",
        version="1.0.0",
        status="active",
        title="Random images",
        purpose="Measure a round",
        cohort=CohortRules(
            inclusion="made up",
            min_patients=2,
            max_images_per_patient=1,
            parts=PartByColumn(column="part"),
        ),
        image=ImageRules(
            modalities=("DX",),
            sop_classes=("1.2.840.10008.5.1.4.1.1.1.1",),
            rows=every,
            columns=every,
            bits_stored=every,
            photometric=("MONOCHROME2",),
        ),
        preprocessing=Preprocessing(
            intensity=StoredBits(),
            height=SIDE,
            width=SIDE,
            normalisation=FixedNormalisation(mean=0.0, deviation=1.0),
        ),
        labels=LabelRules(
            column="label",
            classes=(LabelClass(value="no", meaning="no"), LabelClass(value="yes", meaning="yes")),
        ),
    )


def _plan(contract: DataContract, initial: bytes, *, rounds: int, size: Size) -> TrainingPlan:
    """Make a plan that judges its last round, or each; `network` stands in for the one it names."""
    judged = tuple(range(1, rounds + 1)) if size.judged else (rounds,)
    return TrainingPlan(
        name="benchmark",
        title="Rounds to measure",
        contract=PinnedFile(file="benchmark.contract.toml", pinned=contract.digest),
        initial=InitialArrays(seed=0, arrays=digest_of(initial)),
        network=ConvolutionalNetwork(),
        sites=_plan_sites(size.sites),
        rounds=rounds,
        local=Epochs(epochs=1, batch_images=BATCH, optimizer=Sgd(learning_rate=RATE)),
        privacy=NoPrivacy(kind="none"),
        evaluation=EvaluationPlan(rounds=judged),
        participation=Participation(quorum=len(size.sites)),
    )


def _plan_sites(names: Sequence[str]) -> tuple[PlanSite, ...]:
    return tuple(PlanSite(site=name) for name in names)
