"""`hospital-node model`: the models that the federation released, and their use here."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hospital_node.cli.options import Approver, Home, Json, named
from hospital_node.cohort.sources import folder_files
from hospital_node.config import NodeHome, load_config
from hospital_node.delivery import (
    Delivered,
    installed,
    keep,
    models,
    opened_model,
)
from hospital_node.delivery import install as install_model
from hospital_node.delivery import named as named_model
from hospital_node.node import opened
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.gate import METRIC_NAMES
from schemas.release import packed, unpacked

app = typer.Typer(help="Models that the federation released, and their use at this hospital.")

Model: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model", metavar="DIGEST", help="Its digest or how it begins; else the one in use."
    ),
]
Out: TypeAlias = Annotated[
    Path, typer.Option("--out", metavar="PATH", help="A new file or folder.")
]


@app.command("list")
def list_models(home: Home, json: Json = False) -> None:
    """Show the models that were delivered here, and which one is in use.

    Example: hospital-node model list --home /srv/consilium
    """
    paths = NodeHome(home)
    load_config(paths)
    decision = installed(paths)
    in_use = None if decision is None else decision.arrays
    rows = [_row(opened_model(paths, one), in_use) for one in models(paths)]
    if json:
        say_json({"models": rows, "in_use": in_use})
        return
    if not rows:
        typer.echo("No model was delivered yet.")
        return
    table = Table(title="Released models")
    for column in ("model", "run", "round", "metric", "plan", "in use"):
        table.add_column(column)
    for row in rows:
        value = row["value"]
        table.add_row(
            str(row["model"])[7:23],
            str(row["run"]),
            str(row["round"]),
            f"{row['metric']} {value:.3f}" if isinstance(value, float) else "undefined",
            str(row["plan"]),
            "yes" if row["in_use"] else "",
        )
    Console().print(table)


@app.command("install")
def install(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A delivered model's digest, or a release's file."),
    ],
    home: Home,
    approver: Approver,
    json: Json = False,
) -> None:
    """Put a released model into use, in a person's name.

    Example: hospital-node model install 3f9a21 --home /srv/consilium --approver "A. Head, MD"
    """
    named(approver)
    with opened(home, command="model-install") as node:
        path = Path(model)
        if path.is_file():
            digest = keep(node, unpacked(path.read_bytes())).digest
        else:
            digest = named_model(node.home, model)
        found = install_model(node, digest, approver=approver)
    if json:
        say_json({"model": found.digest, "approver": approver})
        return
    typer.echo(f"In use: {found.digest}, of {found.release.plan.title}, by {approver}.")


@app.command("predict")
def predict(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of DICOM files.")],
    home: Home,
    out: Out,
    model: Model = "",
    json: Json = False,
) -> None:
    """Write a CSV with what the model in use says of every image of a folder.

    That is a probability, or of a segmentation how much is marked; the masks are written beside the
    CSV as PNGs, in a folder of its name that ends in .masks. A file that the model's contract would
    refuse gets its reason instead. All of it names files and images; it stays here.

    Example: hospital-node model predict worklist/ --home /srv/consilium --out worklist.csv
    """
    # torch; nothing else of this command line waits for it
    from hospital_node.cli.predicted import refuse_written, write_predictions  # noqa: PLC0415
    from hospital_node.prediction import PREDICTED, predictions  # noqa: PLC0415
    from hospital_node.pretrained import whole_arrays  # noqa: PLC0415

    paths = NodeHome(home)
    _refuse_existing(out)
    chosen = opened_model(paths, named_model(paths, model))
    refuse_written(out)
    files = folder_files(folder, besides=out)
    columns = (TextColumn("Predicting"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("Predicting", total=len(files))
        arrays = whole_arrays(paths, chosen.release.plan, chosen.arrays)

        def advance(count: int) -> None:
            bar.advance(task, count)

        lines = predictions(chosen.release, arrays, files, progress=advance)
        outcomes = write_predictions(lines, folder, out, model=chosen)
    used = outcomes[PREDICTED]
    if json:
        say_json({"model": chosen.digest, "predicted": used, "not_used": outcomes.total() - used})
        return
    typer.echo(f"{used} images predicted, {outcomes.total() - used} files not used: {out.name}")


@app.command("export")
def export(
    home: Home,
    out: Out,
    form: Annotated[
        Literal["release", "monai-bundle"],
        typer.Option(
            "--format", help="The signed release as one file, or a MONAI bundle's folder."
        ),
    ] = "release",
    model: Model = "",
) -> None:
    """Write a released model for another machine: as it was signed, or as a MONAI bundle.

    Example: hospital-node model export --home /srv/consilium --format monai-bundle --out bundle
    """
    paths = NodeHome(home)
    _refuse_existing(out)
    chosen = opened_model(paths, named_model(paths, model))
    if form == "release":
        write_durably(out, packed(chosen.packet), mode=0o600)
    else:
        from hospital_node.bundle import write_bundle  # noqa: PLC0415 - as above
        from hospital_node.pretrained import whole_arrays  # noqa: PLC0415

        write_bundle(chosen.release, whole_arrays(paths, chosen.release.plan, chosen.arrays), out)
    typer.echo(f"Wrote {chosen.digest[:23]}… to {out.name}.")


def _refuse_existing(out: Path) -> None:
    if out.exists():
        message = f"output refused: {out.name} is there already"
        raise InputRefused(message, next_step="name a new --out")


def _row(model: Delivered, in_use: str | None) -> dict[str, str | int | float | bool | None]:
    release = model.release
    return {
        "model": model.digest,
        "run": release.manifest.run,
        "round": release.manifest.round,
        "metric": METRIC_NAMES[release.verdict.metric],
        "value": release.verdict.value,
        "plan": release.plan.name,
        "in_use": model.digest == in_use,
    }
