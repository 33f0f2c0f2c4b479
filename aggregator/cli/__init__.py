"""The `aggregator` command."""

import sys

import typer

from aggregator.cli import audit, checkpoint, init
from schemas.command_line import run

app = typer.Typer(
    name="aggregator",
    help="The coordinating service of a federation: its roster, models, journal and reports.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("init")(init.init)
app.add_typer(checkpoint.app, name="checkpoint")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line."""
    sys.exit(run(app))
