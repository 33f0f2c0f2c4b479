"""A small study whose hospitals report on their cohorts before they train."""

import shutil
from pathlib import Path
from typing import Any

from deployment.material import pin
from tests import study

NOISED = {
    "statistic": "patients",
    "part": "train",
    "price": {"kind": "noised", "noise_multiplier": 8.0},
}
DECLARED = {"statistic": "patients", "part": "validation", "price": {"kind": "declared"}}
QUORUM = {"quorum": 2, "deadline_s": 60.0}


def reporting(
    folder: Path,
    *,
    needed: bool = True,
    silent: tuple[str, ...] = (),
    disclosures: tuple[dict[str, Any], ...] = (NOISED, DECLARED),
) -> study.Study:
    """Make a study whose contract discloses counts; all but the silent hospitals report."""
    conformance = "required" if needed else "optional"
    one = study.made(
        folder,
        private=True,
        approve=False,
        rounds=1,
        evaluation={"rounds": [1], "bins": 10, "noise_multiplier": 3.0},
        participation=QUORUM | {"conformance": conformance},
    )
    with one.opened():
        pass  # enrols every node
    contract = folder / "small.contract.toml"
    study.write_toml(contract, study.CONTRACT | {"disclosures": disclosures})
    pin(one.plan)
    for site in study.SITES:
        study.ingest(one, site)
        study.approved(one, site, private=True)
        if site not in silent:
            report(one, site, declared=DECLARED in disclosures)
    return one


def copied(one: study.Study, folder: Path) -> study.Study:
    """Copy a study, to be changed."""
    shutil.copytree(one.folder, folder)
    nodes = {site: folder / site for site in one.nodes}
    return study.Study(folder, folder / one.plan.name, folder / "aggregator", nodes)


def report(one: study.Study, site: str, *, declared: bool = True) -> bytes:
    """Let a hospital's report leave, as a person there does."""
    out = one.folder / f"{site}.report.json"
    contract = one.folder / "small.contract.toml"
    study.command(
        *("cohort", "report", "--home", one.folder / site, "--out", out),
        *("--contract", contract, "--approver", "A. Steward"),
        *(("--declare", "validation=11") if declared else ()),
    )
    return out.read_bytes()
