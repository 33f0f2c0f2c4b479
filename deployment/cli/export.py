"""`consilium export`: a released model for the world outside the federation."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aggregator.delivery import released_model
from aggregator.federation import opened
from hospital_node.bundle import write_bundle
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.release import ModelRelease, packed
from schemas.wire.arrays import declared_layout, decoded


def export(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="The model's digest, or how it begins."),
    ],
    aggregator: Annotated[
        Path, typer.Option("--aggregator", metavar="DIR", help="The aggregator's home.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="A new file or folder.")],
    form: Annotated[
        Literal["monai-bundle", "release"],
        typer.Option("--format", help="A MONAI bundle's folder, or the signed release's file."),
    ] = "monai-bundle",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a released model as a MONAI bundle with a model card, or as a file for a hospital.

    Example: consilium export 3f9a21c0 --aggregator agg --format monai-bundle --out bundle
    """
    if out.exists():
        message = f"export refused: {out.name} is there already"
        raise InputRefused(message, next_step="name a new --out")
    with opened(aggregator, command="export") as federation:
        release, packet = released_model(federation, checkpoint)
    if form == "release":
        write_durably(out, packed(packet))
    else:
        _refuse_partial(release)
        write_bundle(release, decoded(packet.body, declared_layout(packet.body)), out)
    if json:
        say_json({"model": release.manifest.arrays, "format": form, "out": str(out)})
        return
    typer.echo(f"Wrote {release.manifest.arrays[:23]}… to {out.name}.")


def _refuse_partial(release: ModelRelease) -> None:
    if release.plan.initial.frozen is not None:
        message = "export refused: the plan's frozen arrays are at the hospitals, not here"
        next_step = "at a hospital: hospital-node model export --format monai-bundle --home DIR"
        raise InputRefused(message, next_step=next_step)
