"""Homes of two hospitals with real chest X-rays, and runs in copies of them.

* A split is ingested once; every run starts from a copy, so its ledger tells what this run alone
  spent.
* Pixels' fixed features are kept from run to run, under the digests that the node itself uses.
"""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aggregator.cli
from aggregator.material import read_material
from aggregator.runs import conduct, started
from deployment.embedded.federation import opened
from deployment.material import pin
from deployment.outcome import exact_site_auroc, personal_model
from hospital_node.config import NodeHome
from hospital_node.policy import Limit, load_policy, set_limit
from hospital_node.privacy.ledger import Ledger
from schemas.plan import TrainingPlan
from tests.benchmarks._hospitals import checked, command
from tests.study import Direct, write_toml

PLAN = "chest.plan.toml"
CONTRACT = "chest.contract.toml"
_CAP = 1000.0
"""The benchmark spends what a plan asks for; a hospital's own cap is 8."""


@dataclass(frozen=True, slots=True)
class Split:
    """Ingested homes of one way to part the patients."""

    folder: Path
    sites: tuple[str, ...]
    warm: dict[str, dict[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run's exact AUROC and train epsilon, by site."""

    auroc: Mapping[str, float]
    epsilon: Mapping[str, float | None]


def ingested(
    folder: Path, data: Path, contract: Mapping[str, Any], sites: tuple[str, ...]
) -> Split:
    """Make a home for each site, with its images; keys and so a split by hash are new each time."""
    write_toml(folder / CONTRACT, dict(contract))
    for site in sites:
        home = folder / site
        command("init", "--home", home, "--site", site)
        command(
            *("cohort", "ingest", "--home", home, "--contract", folder / CONTRACT),
            *("--from", "folder", "--source", data / site / "dicom"),
            *("--labels", data / site / "labels.csv", "--json"),
        )
        node = NodeHome(home)
        set_limit(node, Limit(epsilon=_CAP, delta=load_policy(node).limit.delta))
    checked(aggregator.cli.app, "init", "--home", folder / "aggregator", "--name", "chest")
    return Split(folder, sites, {site: {} for site in sites})


def conducted(split: Split, fields: Mapping[str, Any], place: Path) -> Figures:
    """Run a plan in copies of a split's homes; the copies are removed."""
    sites = tuple(one["site"] for one in fields["sites"])
    try:
        shutil.copytree(split.folder, place)
        write_toml(place / PLAN, dict(fields))
        plan = pin(place / PLAN).plan
        extra = ["--without-privacy"] if fields["privacy"]["kind"] == "none" else []
        for site in sites:
            words = ("policy", "approve", place / PLAN, "--home", place / site)
            command(*words, "--approver", "A. Steward", *extra)
        return _run(split, plan, place, sites)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run(split: Split, plan: TrainingPlan, place: Path, sites: tuple[str, ...]) -> Figures:
    with ExitStack() as stack:
        homes = [place / site for site in sites]
        embedded = stack.enter_context(opened(place / "aggregator", homes))
        for site, node in embedded.nodes.items():
            node.warm = dict(split.warm[site])
        name = started(embedded.federation, read_material(place / PLAN))
        state = conduct(embedded.federation, name, Direct(embedded.nodes), lambda _: None)
        for site, node in embedded.nodes.items():
            # Only what is named by digest: the rest is of this copy's journal.
            kept = (
                one for one in node.warm.items() if one[0].startswith(("examples ", "network "))
            )
            split.warm[site].update(kept)
        common = embedded.federation.store.arrays(state.candidate or "")
        auroc, epsilon = {}, {}
        for site, node in embedded.nodes.items():
            own = personal_model(node, name, plan)
            found = exact_site_auroc(node, plan, common if own is None else own)
            if found is None:
                message = f"{site} has too few validation patients for a figure"
                raise RuntimeError(message)
            auroc[site] = found
            with Ledger(node.home.ledger) as ledger:
                spent = ledger.spent("train", delta=load_policy(node.home).limit.delta).rdp
            epsilon[site] = None if fields_without_privacy(plan) else spent
        return Figures(auroc, epsilon)


def fields_without_privacy(plan: TrainingPlan) -> bool:
    """Say whether a plan spends nothing because it protects nothing."""
    return plan.privacy.kind == "none"
