"""`consilium demo`: a whole federation from nothing, by the commands that a user types.

* Without `--deployed` everybody is in this process; with it each party is one of its own, and they
  speak over TLS on loopback.
"""

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from aggregator.material import read_text
from deployment.demo_data import Source, found, invented, refuse_other_hospitals
from deployment.demo_federation import Demo, federated
from deployment.outcome import RoundOutcome
from schemas.command_line import say_json
from schemas.contract import DataContract
from schemas.errors import InputRefused, NothingAccepted
from schemas.plan import TrainingPlan

PLANS = ("synthetic", "brain-mri", "chest-xray", "chest-xray-masked", "chest-xray-encrypted")
_SHIPPED = Path(__file__).parent.parent / "demo"


def demo(
    workdir: Annotated[
        Path | None, typer.Option("--workdir", metavar="DIR", help="A new folder to work in.")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", help=f"{', '.join(PLANS)} or a plan's TOML file."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="A folder with SITE/{dicom/,labels.csv}."),
    ] = None,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="Real processes over TLS on loopback.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Train one model across hospitals, judge it, and write the report.

    Without --data, four hospitals of DICOM are invented and trained with differential privacy.
    With --deployed the aggregator and each hospital are processes, which end with this command.

    Example: consilium demo
    Example: consilium demo --deployed
    Example: consilium demo --plan chest-xray --data DIR --json
    """
    begun = time.monotonic()
    stage = Console(stderr=json)
    place = _new_folder(workdir, plan)
    wanted, sources = _material(place, plan, data, stage)
    outcome = federated(Demo(place, wanted, sources), stage, is_deployed=deployed)
    outcome |= {"workdir": str(place), "seconds": round(time.monotonic() - begun, 3)}
    _say(outcome, stage)
    if json:
        say_json(outcome)
    if outcome["accepted_round"] is None:
        message = "demo ended without an accepted model: no candidate passed the gate"
        raise NothingAccepted(message, next_step="open the report; its verdicts say why")


def _new_folder(workdir: Path | None, plan: str | None) -> Path:
    """Return a new folder to work in.

    Raises:
        InputRefused: it holds something already.
    """
    if workdir is None:
        name = Path(plan).stem if plan else "synthetic"
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        workdir = Path("consilium-demo") / f"{name}-{stamp}"
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        message = (
            f"workdir refused: {workdir.name} is not empty, only a new or empty folder is allowed"
        )
        raise InputRefused(message, next_step="name another --workdir, or remove this one")
    workdir.mkdir(parents=True, exist_ok=True)
    return workdir.resolve()


def _material(
    place: Path, plan: str | None, data: Path | None, stage: Console
) -> tuple[Path, list[Source]]:
    """Copy plan and contract into the folder, and return the plan with the hospitals' data.

    Raises:
        InputRefused: --data without --plan, data for the invented hospitals, or a missing file.
    """
    if data is not None and plan is None:
        message = "plan refused: none is named for --data, and none is guessed"
        raise InputRefused(message, next_step="name one: --plan brain-mri, chest-xray or FILE")
    name = plan or "synthetic"
    if name == "synthetic" and data is not None:
        message = "data refused: the synthetic plan invents its hospitals"
        raise InputRefused(message, next_step="leave --data out, or name another --plan")
    if name in PLANS and name != "synthetic" and data is None:
        message = f"data refused: the plan {name} needs the hospitals' folders, and none are named"
        raise InputRefused(message, next_step="name their folder: --data DIR")
    original = _SHIPPED / f"{name}.plan.toml" if name in PLANS else Path(name)
    copied = place / original.name
    parsed = TrainingPlan.from_toml(read_text(original, "plan"))
    contract = original.parent / parsed.contract.file
    agreed = DataContract.from_toml(read_text(contract, "contract"))
    if data is None:
        shipped = (_SHIPPED / "synthetic.contract.toml").read_text(encoding="utf-8")
        refuse_other_hospitals(parsed, agreed, DataContract.from_toml(shipped))
    shutil.copyfile(original, copied)
    shutil.copyfile(contract, place / parsed.contract.file)
    if data is None:
        stage.print(f"Inventing {len(parsed.sites)} hospitals of DICOM files …")
        return copied, invented(place / "data", parsed)
    return copied, found(data, parsed)


def _say(outcome: dict[str, Any], stage: Console) -> None:
    """Print the table, the verdicts, and where the report is."""
    table = Table(title="Hospitals under the accepted model")
    for column in ("site", "patients", "epsilon", "AUROC released", "AUROC exact"):
        table.add_column(column)
    for one in outcome["sites"]:
        table.add_row(
            one["site"],
            str(one["patients"] if one["patients"] is not None else "left out"),
            "NO PRIVACY" if one["epsilon"] is None else f"{one['epsilon']:.3f} at {one['delta']:g}",
            _figure(one["auroc"]),
            _figure(one["auroc_exact"]),
        )
    stage.print(table)
    for one in outcome["rounds"]:
        if one["verdict"] != "provisional":
            said = str(RoundOutcome.model_validate(one))
            stage.print(said, soft_wrap=True, highlight=False, markup=False)
    said = f"Report: {outcome['report']}"
    stage.print(said, soft_wrap=True, highlight=False, markup=False)


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
