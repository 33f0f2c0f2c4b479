"""The data of a demo: four invented hospitals, or the sub-folders of a folder that a user names."""

from dataclasses import dataclass
from pathlib import Path

from hospital_node.cohort.synthetic import HOSPITALS, write_site
from schemas.errors import InputRefused
from schemas.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Source:
    """One hospital's folder of DICOM and its labels table."""

    site: str
    folder: Path
    labels: Path


def invented(folder: Path, *, seed: int) -> list[Source]:
    """Write the four invented hospitals and return them."""
    for site in HOSPITALS:
        write_site(site, folder / site.name, seed=seed)
    return [_source(folder / site.name) for site in HOSPITALS]


def found(folder: Path, plan: TrainingPlan) -> list[Source]:
    """Return the hospitals of a folder, in the plan's order.

    Raises:
        InputRefused: no folder, or a site of the plan has none of its own.
    """
    missing = [one.site for one in plan.sites if not (folder / one.site).is_dir()]
    if missing:
        message = (
            f"data refused: {len(missing)} of the plan's sites have no folder in --data: "
            f"{', '.join(missing)}"
        )
        next_step = (
            "give each site a folder SITE/ with dicom/ and labels.csv, or name another --plan"
        )
        raise InputRefused(message, next_step=next_step)
    return [_source(folder / one.site) for one in plan.sites]


def _source(folder: Path) -> Source:
    return Source(folder.name, folder / "dicom", folder / "labels.csv")
