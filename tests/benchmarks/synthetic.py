"""The synthetic demo against logistic regression on the same pixels.

   python -m tests.benchmarks.synthetic [--json]

* The demo runs as a user runs it, with its privacy; its exact validation AUROC is pooled over the
  hospitals, image by image.
* Logistic regression gets the same preprocessed pixels of all hospitals' train parts together,
  without any privacy, at three sizes and four strengths of regularisation; the best is told.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import deployment.cli
from deployment.outcome import exact_auroc
from hospital_node.cohort.store import Cohort, open_cohort, stored_contracts
from schemas.command_line import run
from schemas.manifest import Part

SIZES = (8, 16, 32)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)


def measured(folder: Path) -> dict[str, object]:
    """Run the demo and the regression, and return both figures."""
    report = folder / "outcome.txt"
    with report.open("w") as file:
        before, sys.stdout = sys.stdout, file
        try:
            status = run(deployment.cli.app, ["demo", "--workdir", str(folder / "work"), "--json"])
        finally:
            sys.stdout = before
    if status:
        message = f"the demo ended with exit status {status}"
        raise SystemExit(message)
    outcome = json.loads(report.read_text().splitlines()[-1])
    cohorts = [_cohort(home / "cohort") for home in sorted((folder / "work" / "nodes").iterdir())]
    return {
        "auroc_exact": outcome["auroc_exact"],
        "epsilon": max(one["epsilon"] for one in outcome["sites"]),
        "logistic_regression": {str(size): _regression(cohorts, size) for size in SIZES},
        "seconds": outcome["seconds"],
    }


def _cohort(store: Path) -> Cohort:
    (contract,) = stored_contracts(store)
    return open_cohort(store, contract.digest)


def _regression(cohorts: list[Cohort], size: int) -> float:
    """Return the best AUROC over the strengths."""
    inputs, labels = _pixels(cohorts, "train", size)
    held_out, wanted = _pixels(cohorts, "validation", size)
    figures = []
    for strength in STRENGTHS:
        fitted = LogisticRegression(C=strength, max_iter=500).fit(inputs, labels)
        figures.append(exact_auroc(wanted, fitted.decision_function(held_out)) or 0.0)
    return max(figures)


def _pixels(
    cohorts: list[Cohort], part: Part, size: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    images = np.concatenate([one.pixels[one.rows(part)] for one in cohorts])
    labels = np.concatenate([one.labels(part) for one in cohorts]) == 1
    _, height, width = images.shape
    blocks = images.reshape(len(images), size, height // size, size, width // size)
    return blocks.mean(axis=(2, 4)).reshape(len(images), -1), labels


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder))
    if asked.json:
        sys.stdout.write(json.dumps(figures, sort_keys=True) + "\n")
        return
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value}\n")


if __name__ == "__main__":
    main()
