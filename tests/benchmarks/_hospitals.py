"""Homes of hospitals with real images, one with those of all, and runs in copies of them.

* A run goes through the project's own rounds; its last candidate is then scored in every home.
* The home with everyone's images trains the pooled model and scores every model on all patients.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aggregator.cli
import hospital_node.cli
from aggregator.material import read_material
from aggregator.runs import conduct, started
from deployment.embedded.federation import opened
from deployment.material import pin
from deployment.outcome import exact_site_auroc
from hospital_node import node
from schemas.command_line import run
from tests.study import Direct, write_toml

ALL = "all"
"""The home with everyone's images."""
CONTRACT = "benchmark.contract.toml"
_PLAN = "benchmark.plan.toml"


@dataclass(frozen=True, slots=True)
class Hospitals:
    """Ingested homes, to be copied for each run."""

    folder: Path
    sites: tuple[str, ...]


def ingested(
    folder: Path, data: Path, contract: Mapping[str, Any], sites: Sequence[str]
) -> Hospitals:
    """Make a home for each site and one for all of them, under one contract."""
    write_toml(folder / CONTRACT, dict(contract))
    _put_together(data, sites, folder / "images")
    for site in (*sites, ALL):
        source = folder / "images" if site == ALL else data / site
        home = folder / site
        command("init", "--home", home, "--site", site)
        command(
            *("cohort", "ingest", "--home", home, "--contract", folder / CONTRACT),
            *("--from", "folder", "--source", source / "dicom"),
            *("--labels", source / "labels.csv", "--json"),
        )
    shutil.rmtree(folder / "images")
    checked(aggregator.cli.app, "init", "--home", folder / "aggregator", "--name", "benchmark")
    return Hospitals(folder, tuple(sites))


def _put_together(data: Path, sites: Sequence[str], folder: Path) -> None:
    """Copy everyone's images into one folder, with one table of labels."""
    lines: list[str] = []
    for site in sites:
        shutil.copytree(data / site / "dicom", folder / "dicom" / site)
        head, *rows = (data / site / "labels.csv").read_text(encoding="utf-8").splitlines()
        lines = [*(lines or [head]), *rows]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def scored(hospitals: Hospitals, fields: Mapping[str, Any], place: Path) -> dict[str, float | None]:
    """Run a plan in copies of the homes; return the exact AUROC of its last model by home."""
    sites = [one["site"] for one in fields["sites"]]
    try:
        shutil.copytree(hospitals.folder, place)
        write_toml(place / _PLAN, dict(fields))
        plan = pin(place / _PLAN).plan
        for site in sites:
            words = ("policy", "approve", place / _PLAN, "--home", place / site)
            command(*words, "--approver", "A. Steward", "--without-privacy")
        with opened(place / "aggregator", [place / site for site in sites]) as embedded:
            federation = embedded.federation
            name = started(federation, read_material(place / _PLAN))
            state = conduct(federation, name, Direct(embedded.nodes), lambda _: None)
            model = federation.store.arrays(state.candidate or "")
        with ExitStack() as stack:
            homes = {
                site: stack.enter_context(node.opened(place / site))
                for site in (*hospitals.sites, ALL)
            }
            return {site: exact_site_auroc(home, plan, model) for site, home in homes.items()}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def command(*words: object) -> None:
    """Run a `hospital-node` command."""
    checked(hospital_node.cli.app, *words)


def checked(app: Any, *words: object) -> None:
    """Run a command; RuntimeError when it fails."""
    if run(app, [str(one) for one in words]) != 0:
        message = f"command failed: {words[:2]}"
        raise RuntimeError(message)
