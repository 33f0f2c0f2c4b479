"""`consilium contract`: what a contract may hold, and what a change of it means."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from schemas.command_line import say_json
from schemas.contract import DataContract
from schemas.contract_changes import change_of, changes, is_raised_enough
from schemas.contract_schema import contract_schema
from schemas.errors import InputRefused

app = typer.Typer(help="Data contracts: compare two, or export their form.")

Contract: TypeAlias = Annotated[Path, typer.Argument(help="A data contract's TOML file.")]


@app.command("diff")
def diff(
    old: Contract,
    new: Contract,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether a change is a patch, minor or major, field by field.

    Patch: words only. Minor: whatever conformed still does, and training is the same. Major: all
    else; every cohort is made anew. Ends with 1 when the version is not raised as far as needed.

    Example: consilium contract diff chest-1.0.toml chest-1.1.toml
    """
    before, after = _read(old), _read(new)
    found = changes(before, after)
    level = change_of(found)
    enough = is_raised_enough(before, after, level)
    if json:
        say_json(
            {
                "change": level,
                "version_raised_enough": enough,
                "old": before.digest,
                "new": after.digest,
                "changes": [one.model_dump(mode="json") for one in found],
            }
        )
    else:
        typer.echo(f"{level}: {before.id} {before.version} to {after.id} {after.version}")
        for one in found:
            typer.echo(f"  {one.level}: {one.pointer}: {one.reason}")
        if not enough:
            typer.echo(f"the version is not raised as far as a {level} change needs")
    if not enough:
        raise typer.Exit(1)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema (Draft 2020-12) of a data contract.

    Example: consilium contract schema
    """
    typer.echo(contract_schema(), nl=False)


def _read(path: Path) -> DataContract:
    try:
        return DataContract.from_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        message = f"contract refused: {path.name} cannot be read"
        raise InputRefused(message, next_step="check the file's name and its permissions") from None
