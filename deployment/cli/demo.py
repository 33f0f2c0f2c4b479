"""`consilium demo`: a whole federation from nothing, by the commands that a user types.

* Every step is a command of `consilium`, `hospital-node` or `aggregator`, shown as it runs.
* What the demo adds is data to begin with, and exact figures at the end, since it owns every home.
"""

import shlex
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import aggregator.cli
import deployment.cli
import hospital_node.cli
from aggregator.audit.publication import page_of
from aggregator.material import read_material, read_text
from aggregator.runs import run_names, stored
from deployment.demo_data import Source, found, invented, refuse_other_hospitals
from deployment.embedded.federation import opened
from deployment.outcome import (
    RoundOutcome,
    released_auroc,
    round_outcomes,
    site_outcomes,
    undefined_reasons,
)
from schemas.command_line import say_json, say_refusal
from schemas.contract import DataContract
from schemas.errors import FederationError, InputRefused, NothingAccepted, PeerRefused
from schemas.plan import NoPrivacy, TrainingPlan

PLANS = ("synthetic", "brain-mri", "chest-xray", "chest-xray-masked")
_SHIPPED = Path(__file__).parent.parent / "demo"
_APPROVER = "Demo Steward (invented)"


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
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Train one model across hospitals, judge it, and write the report.

    Without --data, four hospitals of DICOM are invented and trained with differential privacy.

    Example: consilium demo
    Example: consilium demo --plan chest-xray --data DIR --json
    """
    begun = time.monotonic()
    stage = Console(stderr=json)
    place = _new_folder(workdir, plan)
    wanted, sources = _material(place, plan, data, stage)
    outcome = _federated(place, wanted, sources, stage)
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


def _federated(
    place: Path, plan: Path, sources: Sequence[Source], stage: Console
) -> dict[str, Any]:
    """Make the homes, ingest, approve, run and report, by the commands that a user types."""
    shell = _Shell(stage)
    home = place / "aggregator"
    shell.run(deployment.cli.app, "consilium", "init-weights", plan)
    pinned = read_material(plan).plan
    shell.run(aggregator.cli.app, "aggregator", "init", "--home", home, "--name", "demo")
    homes = [
        node for one in sources if (node := _node(place, plan, pinned, one, shell)) is not None
    ]
    if not homes:
        message = "demo refused: no hospital is left to train"
        raise InputRefused(message, next_step="mend what the refusals above name")
    nodes = [part for node in homes for part in ("--node", node)]
    try:
        shell.run(deployment.cli.app, "consilium", "run", plan, "--aggregator", home, *nodes)
    except PeerRefused as error:
        say_refusal(error)
    name = max(path.parent.name for path in home.glob("runs/*/plan.json"))
    bundle = place / "bundle.zip"
    command = (deployment.cli.app, "consilium")
    shell.run(*command, "bundle", name, "--home", home, "--out", bundle)
    is_verified = shell.run(*command, "verify", bundle) == 0
    shell.run(aggregator.cli.app, "aggregator", "audit", "report", "--home", home)
    evidence = {"bundle": str(bundle), "bundle_verified": is_verified}
    return _outcome(home, homes, stage) | evidence


def _node(
    place: Path, plan: Path, pinned: TrainingPlan, source: Source, shell: "_Shell"
) -> Path | None:
    """Make one hospital's node; a refusal is shown, and leaves this hospital out."""
    home = place / "nodes" / source.site
    contract = plan.parent / pinned.contract.file
    command = (hospital_node.cli.app, "hospital-node")
    approve = ["policy", "approve", plan, "--home", home, "--approver", _APPROVER]
    if isinstance(pinned.privacy, NoPrivacy):
        approve.append("--without-privacy")
    ingest = ["cohort", "ingest", "--home", home, "--contract", contract]
    try:
        shell.run(*command, "init", "--home", home, "--site", source.site)
        shell.run(
            *command,
            *ingest,
            "--from",
            "folder",
            "--source",
            source.folder,
            "--labels",
            source.labels,
        )
        shell.run(*command, *approve)
    except FederationError as error:
        say_refusal(error)
        return None
    return home


def _outcome(home: Path, homes: Sequence[Path], stage: Console) -> dict[str, Any]:
    """Gather what the run came to."""
    with opened(home, homes) as embedded:
        federation = embedded.federation
        name = run_names(federation)[-1]
        plan, state = stored(federation, name)
        accepted = state.accepted.round or None
        model = federation.store.arrays(state.accepted.arrays) if accepted else None
        sites, exact = site_outcomes(embedded.nodes, plan, state, model)
        rounds = round_outcomes(federation.journal.events(), name)
        for reason in undefined_reasons(embedded.nodes, plan):
            stage.print(reason, soft_wrap=True, highlight=False, markup=False)
    return {
        "sites": [one.model_dump(mode="json") for one in sites],
        "rounds": [one.model_dump(mode="json") for one in rounds],
        "accepted_round": accepted,
        "auroc": released_auroc(state),
        "auroc_exact": exact,
        "report": str(page_of(federation.home, name)),
    }


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


class _Shell:
    """Runs commands of this project in this process, and shows each as a user would type it."""

    def __init__(self, stage: Console) -> None:
        self._stage = stage

    def run(self, app: typer.Typer, name: str, *arguments: object) -> int:
        """Run one command and return its exit status; its refusal is raised."""
        words = [str(one) for one in arguments]
        self._stage.print(
            f"$ {name} {shlex.join(words)}", soft_wrap=True, highlight=False, markup=False
        )
        command = typer.main.get_command(app)
        status = command.main(args=words, prog_name=name, standalone_mode=False)
        return status if isinstance(status, int) else 0
