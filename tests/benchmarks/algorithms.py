"""Algorithms compared on real images: federated, pooled and alone, by the project's own rounds.

   python -m tests.benchmarks.algorithms brain-mri|chest-xray [--seeds N] [--processes N]
       [--setting NAME]... [--json]

* The images are in `data/` of the shared folder; without them nothing is measured.
* AUROC is exact, over validation images, by site and over all patients together; a site with too
  few patients of a class has none. It is computed in the homes, outside the protocol.
* Every setting goes over as many images: a pooled run has one site with everyone's, and as many
  rounds. A seed is that of the initial arrays and of the local draws; the split is the published.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.benchmarks._hospitals import ALL, CONTRACT, ingested, scored
from tests.conftest import ROOT

DATA = Path(os.environ.get("CONSILIUM_SHARED", ROOT.parent / "shared")) / "data"
DEMO = ROOT / "deployment" / "demo"
GATE = {
    "floor": 0.0,
    "margin": 1.0,
    "site_margin": 1.0,
    "min_sites": 1,
    "site_min_class_weight": 0.25,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What differs from one plan to the next."""

    aggregation: Mapping[str, Any] = field(default_factory=dict)
    local: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the study's local work; another kind replaces it."""
    sites: str = "federated"
    """`federated`, `pooled` or `alone`."""
    without: str = ""
    """A site that stays away."""
    is_equal: bool = False
    """Whether every site has the same weight."""


@dataclass(frozen=True, slots=True)
class Study:
    """A set of hospitals and the settings that are compared on it."""

    sites: Mapping[str, float]
    """With their declared weights."""
    rounds: int
    local: Mapping[str, Any]
    settings: Mapping[str, Setting]
    network: Mapping[str, Any]


ADAPTIVE = {"momentum": 0.9, "second_momentum": 0.99, "adaptivity": 1e-3}
BRAIN_STEPS = {"kind": "steps", "steps": 17, "optimizer": {"kind": "sgd", "learning_rate": 0.1}}
CHEST_SGD = {"kind": "sgd", "learning_rate": 30.0}
STEPS = {"batch_images": 32, "seed": 0}

BRAIN = Study(
    sites={"DU": 1040.0, "HT": 600.0, "FG": 330.0, "CS": 210.0},
    rounds=30,
    local=tomllib.loads((DEMO / "brain-mri.plan.toml").read_text(encoding="utf-8"))["local"],
    network=tomllib.loads((DEMO / "brain-mri.plan.toml").read_text(encoding="utf-8"))["network"],
    settings={
        "fedavg": Setting(),
        "pooled": Setting(sites="pooled"),
        "alone": Setting(sites="alone"),
        "fedprox": Setting({"algorithm": "fedprox", "proximal": 0.01}),
        "fedadam": Setting({"algorithm": "fedadam", "learning_rate": 0.01, **ADAPTIVE}),
        "fedavg, SGD": Setting(local=BRAIN_STEPS),
        "scaffold, SGD": Setting({"algorithm": "scaffold"}, BRAIN_STEPS),
    },
)

CHEST = Study(
    sites={"guangzhou": 600.0, "nih": 400.0, "hannover": 60.0},
    rounds=20,
    local={"kind": "epochs", "epochs": 2, "batch_images": 32, "optimizer": CHEST_SGD},
    network=tomllib.loads((DEMO / "chest-xray.plan.toml").read_text(encoding="utf-8"))["network"],
    settings={
        "fedavg": Setting(),
        "fedavg, hannover away": Setting(without="hannover"),
        "fedavg, equal weights": Setting(is_equal=True),
        "fedavg, equal steps": Setting(local={"kind": "steps", "steps": 33, **STEPS}),
        "fedavg, equal steps and weights": Setting(
            local={"kind": "steps", "steps": 33, **STEPS}, is_equal=True
        ),
        "fedprox, equal weights": Setting(
            {"algorithm": "fedprox", "proximal": 0.01}, is_equal=True
        ),
        "fednova, equal weights": Setting(
            {"algorithm": "fednova", "effective_steps": 33.0}, is_equal=True
        ),
        "scaffold, equal weights": Setting(
            {"algorithm": "scaffold"}, {"kind": "steps", "steps": 33, **STEPS}, is_equal=True
        ),
        "median": Setting({"combiner": {"kind": "median"}}, is_equal=True),
        "pooled": Setting(sites="pooled"),
        "alone": Setting(sites="alone"),
    },
)

STUDIES: Mapping[str, Study] = {"brain-mri": BRAIN, "chest-xray": CHEST}


def plan(study: Study, setting: Setting, sites: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Write the fields of a plan."""
    local = dict(study.local) | dict(setting.local) | {"seed": seed}
    if local["kind"] == "steps":
        local.pop("epochs", None)
    network = dict(study.network)
    if "features" in network:
        network["seed"] = 11 + seed
    weights = {one: 1.0 if setting.is_equal else study.sites.get(one, 1.0) for one in sites}
    aggregation = dict(setting.aggregation)
    if "features" in network:
        aggregation["average_from"] = study.rounds // 2 + 1
    return {
        "name": "algorithms",
        "title": "Algorithms compared",
        "rounds": study.rounds,
        "contract": {"file": CONTRACT},
        "initial": {"seed": seed},
        "network": network,
        "sites": [{"site": one, "weight": weight} for one, weight in weights.items()],
        "local": local,
        "privacy": {"kind": "none"},
        "aggregation": aggregation,
        "evaluation": {"rounds": [study.rounds], "bins": 1000},
        "gate": GATE,
        "participation": {"quorum": len(sites) if "combiner" in aggregation else 1},
    }


def repetition(name: str, labels: Sequence[str], seed: int) -> dict[str, dict[str, float | None]]:
    """Run settings of a study once: AUROC by home."""
    study, found = STUDIES[name], {}
    contract = tomllib.loads((DEMO / f"{name}.contract.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="consilium-algorithms-") as folder:
        with redirect_stdout(StringIO()):
            hospitals = ingested(Path(folder) / "homes", DATA / name, contract, tuple(study.sites))
        for number, label in enumerate(labels):
            setting = study.settings[label]
            place = Path(folder) / str(number)
            with redirect_stdout(StringIO()):
                found[label] = {
                    site: auroc
                    for group in _groups(study, setting)
                    for site, auroc in _of_group(
                        scored(hospitals, plan(study, setting, group, seed=seed), place),
                        group,
                        setting,
                    ).items()
                }
            told = {site: value and round(value, 4) for site, value in found[label].items()}
            print(f"{name} seed {seed} {label}: {told}", file=sys.stderr, flush=True)  # noqa: T201
    return found


def _groups(study: Study, setting: Setting) -> list[tuple[str, ...]]:
    """Say who trains together."""
    sites = tuple(one for one in study.sites if one != setting.without)
    match setting.sites:
        case "pooled":
            return [(ALL,)]
        case "alone":
            return [(one,) for one in sites]
        case _:
            return [sites]


def _of_group(
    aurocs: Mapping[str, float | None], group: Sequence[str], setting: Setting
) -> dict[str, float | None]:
    """Keep a lone site's figures for itself; `SITE on all` is its model on everyone's patients."""
    if setting.sites != "alone":
        return dict(aurocs)
    (site,) = group
    return {site: aurocs[site], f"{site} on all": aurocs[ALL]}


def measured(name: str, labels: Sequence[str], *, seeds: int, processes: int) -> dict[str, Any]:
    """Measure settings of a study over seeds, side by side in processes."""
    begun = time.monotonic()
    # Forking after torch has made threads may hang: every process starts afresh.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(partial(repetition, name, labels), range(seeds)))
    told = {
        label: {site: spread([one[label][site] for one in found]) for site in found[0][label]}
        for label in labels
    }
    seconds = round(time.monotonic() - begun, 1)
    return {"study": name, "seeds": seeds, "auroc": told, "seconds": seconds}


def spread(values: Sequence[float | None]) -> list[float] | None:
    """Return mean and standard deviation; none where a figure is undefined."""
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return None
    deviation = statistics.stdev(defined) if len(defined) > 1 else 0.0
    return [round(statistics.fmean(defined), 4), round(deviation, 4)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", choices=sorted(STUDIES), nargs="?", default="chest-xray")
    parser.add_argument("--seeds", type=int, choices=range(1, 11), default=3, metavar="N")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--setting", action="append", metavar="NAME", help="Only this; repeats.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    asked = parser.parse_args()
    labels = asked.setting or list(STUDIES[asked.study].settings)
    if unknown := sorted(set(labels) - set(STUDIES[asked.study].settings)):
        parser.error(f"no such setting: {', '.join(unknown)}")
    if not (DATA / asked.study).is_dir():
        reason = f"data/{asked.study} is not here; CONSILIUM_SHARED may name its parent's folder"
        print(json.dumps({"skipped": reason}))  # noqa: T201
        return
    told = measured(asked.study, labels, seeds=asked.seeds, processes=asked.processes)
    print(json.dumps(told) if asked.json else _page(told))  # noqa: T201


def _page(told: Mapping[str, Any]) -> str:
    """Write a Markdown table."""
    columns = [*STUDIES[told["study"]].sites, ALL]
    lines = [f"| setting | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for label, row in told["auroc"].items():
        cells = [
            "" if row.get(one) is None else f"{row[one][0]:.3f} ± {row[one][1]:.3f}"
            for one in columns
        ]
        lines.append(f"| `{label}` | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
