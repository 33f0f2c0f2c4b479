"""What privacy costs on real chest X-rays: two hospitals, the project's own rounds.

   python -m tests.benchmarks.utility [--seeds N] [--splits N] [--processes N] [--json]

* The images are in `data/chest-xray` of the shared folder; without it nothing is measured.
* AUROC is exact, of each site's validation images, computed in the homes outside the protocol.
* Epsilon is what each site's ledger enforces for its train patients: Renyi, at delta 1e-4, one
  patient added or removed.
* Noise is never seeded. A seed is that of the fixed features, so a spread holds both.
* A random split ingests the images anew, under new pseudonym keys; the plans are not tuned to it.
* `alone_8` is each site training by itself under the same plan as `personalised_8`.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

from tests.benchmarks._chest import CONTRACT, Figures, Split, conducted, ingested
from tests.conftest import ROOT

DATA = Path(os.environ.get("CONSILIUM_SHARED", ROOT.parent / "shared")) / "data" / "chest-xray"
DEMO = ROOT / "deployment" / "demo"
SITES = {"guangzhou": 600.0, "nih": 400.0}
"""Declared numbers of train patients, in round numbers."""
DELTA = 1e-4
SEEDS = (11, 12, 13, 14, 15)
STEPS_PER_ROUND = 5
HELD_OUT = 0.2
"""Share of the validation patients in a random split; about that of the published one."""

Table: TypeAlias = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What differs from one plan to the next; 50 releases compose to the named epsilon."""

    noise_multiplier: float | None
    learning_rate: float
    rounds: int = 10
    bandwidth: float = 3.0
    """Of the random Fourier features; sites that train their own models do better with less."""
    shared: float | None = None
    """Share of the federation's direction in personalised training."""
    is_alone: bool = False


SETTINGS: Mapping[str, Setting] = {
    "non_private": Setting(None, 30.0, rounds=20),
    "epsilon_8": Setting(4.12, 60.0),
    "epsilon_3": Setting(9.40, 30.0),
    "epsilon_1": Setting(24.9, 20.0),
    "personalised_8": Setting(4.12, 40.0, bandwidth=1.5, shared=0.25),
    "alone_8": Setting(4.12, 40.0, bandwidth=1.5, is_alone=True),
}


def plan(setting: Setting, sites: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Write the fields of a plan; the network and the clipping bound are the demo's."""
    shipped = tomllib.loads((DEMO / "chest-xray.plan.toml").read_text(encoding="utf-8"))
    private = setting.noise_multiplier is not None
    optimizer = {"kind": "sgd", "learning_rate": setting.learning_rate}
    steps = {"kind": "private-steps", "steps": STEPS_PER_ROUND, "optimizer": optimizer}
    epochs = {"kind": "epochs", "epochs": 2, "batch_images": 32, "optimizer": optimizer}
    aggregation: dict[str, Any] = {"average_from": setting.rounds // 2 + 1}
    if private:
        aggregation |= {"algorithm": "fedavgm", "momentum": 0.5}
    if setting.shared is not None:
        aggregation |= {"personalisation": {"shared": setting.shared}}
    privacy = shipped["privacy"] | {"noise_multiplier": setting.noise_multiplier, "delta": DELTA}
    judged = {"rounds": [setting.rounds], "bins": 10}
    return {
        "name": "utility",
        "title": "Pneumonia on chest X-rays at two hospitals",
        "rounds": setting.rounds,
        "contract": {"file": CONTRACT},
        "initial": {"seed": 0},
        "network": shipped["network"] | {"bandwidth": setting.bandwidth, "seed": seed},
        "sites": [
            {"site": one, "weight": SITES[one], "expected_patients": SITES[one]} for one in sites
        ],
        "local": steps if private else epochs,
        "privacy": privacy if private else {"kind": "none"},
        "aggregation": aggregation,
        "evaluation": judged | ({"noise_multiplier": 4.0} if private else {}),
        "gate": {"floor": 0.0, "margin": 1.0, "site_margin": 1.0, "min_sites": 1},
        "participation": {"quorum": len(sites)},
    }


def repetition(parts: str, seed: int) -> dict[str, Figures]:
    """Ingest one split and run every setting on it once."""
    contract = tomllib.loads((DEMO / "chest-xray.contract.toml").read_text(encoding="utf-8"))
    if parts == "random":
        contract["cohort"]["parts"] = {"kind": "hash", "validation_fraction": HELD_OUT}
    with (
        tempfile.TemporaryDirectory(prefix="consilium-utility-") as folder,
        redirect_stdout(StringIO()),
    ):
        place = Path(folder)
        split = ingested(place / "split", DATA, contract, tuple(SITES))
        return {
            name: _measured(split, setting, place / name, seed=seed)
            for name, setting in SETTINGS.items()
        }


def _measured(split: Split, setting: Setting, place: Path, *, seed: int) -> Figures:
    groups = [(one,) for one in split.sites] if setting.is_alone else [split.sites]
    found = [conducted(split, plan(setting, group, seed=seed), place) for group in groups]
    return Figures(
        {site: value for one in found for site, value in one.auroc.items()},
        {site: value for one in found for site, value in one.epsilon.items()},
    )


def tables(found: Sequence[Mapping[str, Figures]]) -> dict[str, Table]:
    """Return mean and standard deviation over repetitions, by setting and site."""
    auroc: Table = {}
    epsilon: Table = {}
    for name in SETTINGS:
        runs = [one[name] for one in found]
        auroc[name] = {site: _spread([one.auroc[site] for one in runs]) for site in SITES}
        spent = {site: [one.epsilon[site] for one in runs] for site in SITES}
        epsilon[name] = {
            site: _spread([value for value in values if value is not None])
            for site, values in spent.items()
            if None not in values
        }
    return {"auroc": auroc, "epsilon": epsilon}


def _spread(values: Sequence[float]) -> list[float]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return [round(statistics.fmean(values), 4), round(deviation, 4)]


def measured(*, seeds: int, splits: int, processes: int) -> dict[str, Any]:
    """Measure the published split and random ones, side by side in processes."""
    begun = time.monotonic()
    wanted = [("column", seed) for seed in SEEDS[:seeds]]
    wanted += [("random", seed) for seed in SEEDS[:splits]]
    # Forking after torch has made threads may hang: every process starts afresh.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(repetition, *zip(*wanted, strict=True)))
    told: dict[str, Any] = tables(found[:seeds])
    told["random_splits"] = tables(found[seeds:]) if splits else {}
    return told | {
        "delta": DELTA,
        "repetitions": {"reference_split": seeds, "random_splits": splits},
        "seconds": round(time.monotonic() - begun, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, choices=range(1, 6), default=5, metavar="N")
    parser.add_argument("--splits", type=int, choices=range(6), default=5, metavar="N")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    asked = parser.parse_args()
    if not DATA.is_dir():
        reason = "data/chest-xray is not here; CONSILIUM_SHARED may name its parent's folder"
        print(json.dumps({"skipped": reason}))  # noqa: T201
        return
    told = measured(seeds=asked.seeds, splits=asked.splits, processes=asked.processes)
    print(json.dumps(told) if asked.json else _page(told))  # noqa: T201


def _page(told: Mapping[str, Any]) -> str:
    """Write both splits as a Markdown table."""
    lines = ["| setting | site | epsilon | reference split | random splits |", "|" + "---|" * 5]
    for name in SETTINGS:
        for site in SITES:
            mean, deviation = told["auroc"][name][site]
            spent = told["epsilon"][name].get(site)
            random = told["random_splits"].get("auroc", {}).get(name, {}).get(site)
            beside = "" if random is None else f"{random[0]:.3f} ± {random[1]:.3f}"
            price = "none" if spent is None else f"{spent[0]:.2f}"
            lines.append(f"| {name} | {site} | {price} | {mean:.3f} ± {deviation:.3f} | {beside} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
