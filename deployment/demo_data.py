"""The data of a demo: four invented hospitals, or the sub-folders of a folder that a user names."""

from dataclasses import dataclass
from pathlib import Path

from hospital_node.cohort.synthetic import HOSPITALS, write_site
from schemas.contract import DataContract
from schemas.errors import InputRefused
from schemas.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Source:
    """One hospital's folder of DICOM and its labels table."""

    site: str
    folder: Path
    labels: Path


def invented(folder: Path, plan: TrainingPlan) -> list[Source]:
    """Write the invented hospitals that a plan names and return them."""
    named = [site for site in HOSPITALS if plan.site(site.name) is not None]
    for site in named:
        write_site(site, folder / site.name, seed=plan.initial.seed)
    return [_source(folder / site.name) for site in named]


def refuse_other_hospitals(plan: TrainingPlan, contract: DataContract, fits: DataContract) -> None:
    """Refuse a plan for which no hospital can be invented: they have their names, and one contract.

    Raises:
        InputRefused: it names other sites, or is under another contract than `fits`.
    """
    names = [site.name for site in HOSPITALS]
    strange = [one.site for one in plan.sites if one.site not in names]
    found = f"the plan names {', '.join(strange)}" if strange else ""
    if contract.digest != fits.digest:
        found = found or f"the plan's contract is {contract.id} {contract.version}"
    if found:
        message = (
            f"data refused: without --data the hospitals are invented; {found}, and only "
            f"{', '.join(names)} under {fits.id} {fits.version} can be invented"
        )
        raise InputRefused(message, next_step="name the folder of the plan's sites: --data DIR")


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
