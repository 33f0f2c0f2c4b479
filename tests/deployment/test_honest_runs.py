"""Bundles of honest runs that are out of the common: the verifier finds nothing wrong in them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployment.embedded.federation import opened
from schemas.errors import QuorumLost
from tests.bundles import apart, finished_study, repacked, understood
from tests.study import SITES, approved, command, ingest, made, write_hospital

STEPS = {
    "kind": "steps",
    "steps": 2,
    "batch_images": 8,
    "optimizer": {"kind": "sgd", "learning_rate": 0.1},
}
ALL = {"quorum": 3, "deadline_s": 60.0}
RUNS: dict[str, dict[str, Any]] = {
    "median": {
        "aggregation": {"algorithm": "fedavg", "combiner": {"kind": "median"}},
        "participation": ALL,
    },
    "trimmed mean": {
        "aggregation": {"algorithm": "fedavg", "combiner": {"kind": "trimmed-mean", "trim": 1}},
        "participation": ALL,
    },
    "scaffold": {"aggregation": {"algorithm": "scaffold"}, "local": STEPS},
    "tail averages": {"aggregation": {"algorithm": "fedavg", "average_from": 1}},
    "every candidate rejected": {"gate": {"floor": 0.999, "max_rejections": 1}},
}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_a_bundle_of_an_honest_run_has_no_fault(changes: dict[str, Any], tmp_path: Path) -> None:
    ended = finished_study(made(tmp_path, **changes))
    findings, _ = understood(repacked(ended.files), tmp_path)
    assert findings.faults == []


FIVE = (*SITES, "centre", "south")
KRUM = {"kind": "krum", "dishonest": 1, "keep": 2}


def test_a_bundle_of_an_honest_run_under_krum_has_no_fault(
    tmp_path: Path,
) -> None:
    """Krum leaves updates out that nothing is wrong with; the verifier must not miss them."""
    study = made(
        tmp_path,
        approve=False,
        aggregation={"algorithm": "fedavg", "combiner": KRUM},
        participation={"quorum": 5, "deadline_s": 60.0},
        sites=[{"site": one, "weight": 1.0, "expected_patients": 12.0} for one in sorted(FIVE)],
    )
    study = replace(study, nodes={one: tmp_path / one for one in FIVE})
    for number, site in enumerate(FIVE[3:], start=3):
        write_hospital(tmp_path / "data" / site, number)
        command("init", "--home", tmp_path / site, "--site", site)
        ingest(study, site)
    for site in FIVE:
        approved(study, site, private=False)
    ended = finished_study(study)
    findings, result = understood(repacked(ended.files), tmp_path)
    assert findings.faults == []
    assert result.rounds == (1, 2)
    manifests = [json.loads(one) for name, one in ended.files.items() if "checkpoints/" in name]
    assert {len(one["sources"]) for one in manifests} == {KRUM["keep"]}


def test_a_run_that_was_abandoned_and_taken_up_has_no_fault(tmp_path: Path) -> None:
    study = made(tmp_path, participation=ALL)
    homes = list(study.nodes.values())
    with opened(study.aggregator, homes) as federation:
        run = study.started(federation.federation)
    with opened(study.aggregator, homes[1:]) as federation, pytest.raises(QuorumLost):
        federation.conducted(run, observe=lambda _: None)
    with opened(study.aggregator, homes) as federation:
        federation.conducted(run, observe=lambda _: None)
    findings, _ = understood(repacked(apart(study).files), tmp_path)
    assert findings.faults == []
