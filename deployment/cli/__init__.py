"""The `consilium` command: what needs both sides of a federation, or neither."""

import sys

import typer

from deployment.cli import contract, prove, verify
from deployment.cli.deferred import WithDeferred
from schemas.command_line import run

app = typer.Typer(
    name="consilium",
    cls=WithDeferred,
    help="Train one imaging model across hospitals; no image leaves a hospital.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("bundle")(verify.bundle)
app.command("verify")(verify.check)
app.command("prove")(prove.prove)
app.add_typer(contract.app, name="contract")


def main() -> None:
    """Run the command line."""
    sys.exit(run(app))
