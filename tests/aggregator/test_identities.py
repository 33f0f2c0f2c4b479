"""What must come out the same: identities of aggregation, over the embedded federation."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from aggregator.material import read_material
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.cohort.store import open_cohort
from hospital_node.models.registry import build, load_arrays, trainable_arrays
from schemas.wire.arrays import declared_layout, decoded
from tests.study import SITES, Study, approved, conducting, made

RATE = 0.3
ROUNDS = 1
ONCE: dict[str, Any] = {"rounds": ROUNDS, "evaluation": {"rounds": [ROUNDS]}}
FULL_BATCH = {
    "kind": "epochs",
    "epochs": 1,
    "batch_images": 1_000_000,
    "optimizer": {"kind": "sgd", "learning_rate": RATE},
}
FEDAVG: dict[str, Any] = {"local": FULL_BATCH}
FEDSGD: dict[str, Any] = {
    "local": {"kind": "gradient"},
    "aggregation": {"algorithm": "fedsgd", "learning_rate": RATE},
}

Arrays = dict[str, NDArray[np.float32]]


def final(study: Study) -> tuple[Arrays, str]:
    """Run a study: its last model, and the digest of it."""
    with conducting(study) as (embedded, conducted, _):
        state = conducted()
        digest = state.candidate or ""
        content = embedded.federation.store.arrays(digest)
    return decoded(content, declared_layout(content)), digest


def sites(weights: dict[str, float]) -> list[dict[str, Any]]:
    return [{"site": site, "weight": weight} for site, weight in weights.items()]


def images_of(embedded: EmbeddedFederation, study: Study) -> dict[str, tuple[Any, Any]]:
    """Return every site's train images and labels."""
    pinned = study.parsed().contract.pinned or ""
    cohorts = {site: open_cohort(one.cohort_folder, pinned) for site, one in embedded.nodes.items()}
    return {
        site: (
            torch.from_numpy(np.array(cohort.pixels[cohort.rows("train")]))[:, None],
            torch.from_numpy(np.array(cohort.labels("train"), dtype=np.float32)),
        )
        for site, cohort in cohorts.items()
    }


def descended(study: Study, images: dict[str, tuple[Any, Any]]) -> Arrays:
    """Do centralised gradient descent on everyone's images together."""
    plan = study.parsed()
    module = build(plan.network, height=16, width=16, seed=plan.initial.seed).module
    content = read_material(study.plan).initial
    load_arrays(module, decoded(content, declared_layout(content)))
    inputs, labels = (torch.cat([one[place] for one in images.values()]) for place in (0, 1))
    for _ in range(ROUNDS):
        module.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(module(inputs), labels)
        torch.autograd.backward(loss)
        with torch.no_grad():
            for value in module.parameters():
                assert value.grad is not None
                value.sub_(RATE * value.grad)
    return trainable_arrays(module)


def assert_close(found: Arrays, expected: Arrays) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6)


def test_one_full_batch_step_with_fedavg_is_fedsgd_is_centralised_descent(tmp_path: Path) -> None:
    probe = made(tmp_path / "probe", **ONCE)
    with probe.opened() as embedded:
        images = images_of(embedded, probe)
    weights = {site: float(len(labels)) for site, (_, labels) in images.items()}
    studies = [
        made(tmp_path / name, **ONCE, **changes, sites=sites(weights))
        for name, changes in {"fedavg": FEDAVG, "fedsgd": FEDSGD}.items()
    ]
    (fedavg, _), (fedsgd, _) = (final(one) for one in studies)
    centralised = descended(studies[0], images)
    assert_close(fedavg, centralised)
    assert_close(fedsgd, centralised)
    content = read_material(studies[0].plan).initial
    start = decoded(content, declared_layout(content))
    assert max(np.abs(fedavg[name] - start[name]).max() for name in start) > 1e-3


@pytest.mark.parametrize("algorithm", ["fedavg", "fedadam"])
def test_permuting_the_sites_of_a_plan_changes_no_bit(tmp_path: Path, algorithm: str) -> None:
    adam = {"algorithm": "fedadam", "second_momentum": 0.99, "adaptivity": 1e-3}
    rule = adam if algorithm == "fedadam" else {"algorithm": algorithm}
    weights = dict(zip(SITES, (1.0, 2.0, 5.0), strict=True))
    turned = dict(reversed(weights.items()))
    digests = {
        final(made(tmp_path / str(number), **ONCE, aggregation=rule, sites=sites(one)))[1]
        for number, one in enumerate((weights, turned))
    }
    assert len(digests) == 1


@pytest.mark.parametrize("combiner", ["mean", "median"])
def test_equal_sites_are_one_site(tmp_path: Path, combiner: str) -> None:
    """Gradients draw nothing, so sites with the same images send the same delta."""
    rule = FEDSGD["aggregation"] | {"combiner": {"kind": combiner}}
    several = made(
        tmp_path / "several",
        **ONCE,
        **(FEDSGD | {"aggregation": rule}),
        participation={"quorum": 3, "deadline_s": 60.0},
    )
    for site in SITES[1:]:
        shutil.rmtree(several.nodes[site] / "cohort")
        shutil.copytree(several.nodes["east"] / "cohort", several.nodes[site] / "cohort")
    changes = FEDSGD | {"sites": sites({"east": 1.0})}
    quorum = {"quorum": 1, "deadline_s": 60.0}
    lone = made(tmp_path / "lone", **ONCE, **changes, participation=quorum, approve=False)
    shutil.rmtree(lone.nodes["east"] / "cohort")
    shutil.copytree(several.nodes["east"] / "cohort", lone.nodes["east"] / "cohort")
    approved(lone, "east", private=False)
    lone = replace(lone, nodes={"east": lone.nodes["east"]})
    assert final(several)[1] == final(lone)[1]
