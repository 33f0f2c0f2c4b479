"""Peak memory of a simulation by its number of sites: `python -m tests.benchmarks.simulation`.

`consilium simulate` runs in a process of its own, with a network of 1.2 M parameters, once with ten
sites and once with a hundred; its peak resident memory is the kernel's own figure. Worker processes
that read DICOM are its children and are not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomlkit

from hospital_node.models.registry import build, trainable_arrays
from schemas.plan import TrainingPlan

CONTRACT = Path(__file__).parents[2] / "deployment" / "demo" / "synthetic.contract.toml"
PLAN: dict[str, Any] = {
    "name": "scale",
    "title": "A network of 1.2 M parameters",
    "rounds": 2,
    "contract": {"file": CONTRACT.name},
    "initial": {"seed": 3},
    "network": {"kind": "convolutional", "channels": [64, 128, 288, 320], "groups": 8},
    "sites": [{"site": "any"}],
    "local": {
        "kind": "epochs",
        "epochs": 1,
        "batch_images": 16,
        "optimizer": {"kind": "sgd", "learning_rate": 0.05},
    },
    "privacy": {"kind": "none"},
    "evaluation": {"rounds": [2], "bins": 10},
    "gate": {"site_min_class_weight": 1.0},
    "participation": {"quorum": 1},
}
PATIENTS = 8
FEW, MANY = 10, 100


def parameters() -> int:
    """Count the network's parameters."""
    plan = TrainingPlan.from_toml(tomlkit.dumps(PLAN))
    module = build(plan.network, height=32, width=32, seed=0).module
    return sum(one.size for one in trainable_arrays(module).values())


def peak_bytes(sites: int) -> int:
    """Return the most memory that one simulation held."""
    with tempfile.TemporaryDirectory(prefix="consilium-scale-") as name:
        folder = Path(name)
        (folder / CONTRACT.name).write_bytes(CONTRACT.read_bytes())
        (folder / "scale.plan.toml").write_text(tomlkit.dumps(PLAN))
        words = ["simulate", str(folder / "scale.plan.toml"), "--sites", str(sites)]
        call = "import sys; from deployment.cli import main; main()"
        environment = os.environ | {"TMPDIR": name, "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, "-c", call, *words, "--patients", str(PATIENTS), "--json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            message = f"the simulation of {sites} sites ended with {child.returncode}"
            raise RuntimeError(message)
        return usage.ru_maxrss * 1024


def measured(few: int = FEW, many: int = MANY) -> dict[str, float]:
    """Return the peaks in MiB and their ratio."""
    small, large = peak_bytes(few), peak_bytes(many)
    return {
        "parameters": parameters(),
        f"peak_mib_{few}": round(small / 2**20, 1),
        f"peak_mib_{many}": round(large / 2**20, 1),
        "memory_ratio": round(large / small, 3),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    parser.parse_args(words)
    print(json.dumps(measured(), sort_keys=True))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
