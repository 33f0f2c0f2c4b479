"""The `consilium` command: what needs both sides of a federation, or neither."""

import sys

import typer

from deployment.cli import (
    contract,
    demo,
    export,
    init_weights,
    prove,
    rehearse,
    run,
    simulate,
    verify,
)
from schemas.command_line import run as run_command

app = typer.Typer(
    name="consilium",
    help="Train one imaging model across hospitals; no image leaves a hospital.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("init-weights")(init_weights.init_weights)
app.add_typer(contract.app, name="contract")
app.command("rehearse")(rehearse.rehearse)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("export")(export.export)
app.command("simulate")(simulate.simulate)
app.command("bundle")(verify.bundle)
app.command("verify")(verify.check)
app.command("prove")(prove.prove)


def main() -> None:
    """Run the command line."""
    sys.exit(run_command(app))
