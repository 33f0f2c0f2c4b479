"""The `aggregator` command."""

import sys

import typer

from aggregator.cli import audit, checkpoint, dashboard, enrol, init, roster, serve, status, tls
from aggregator.cli import run as run_command
from schemas.command_line import run

app = typer.Typer(
    name="aggregator",
    help="The coordinating service of a federation: its roster, models, journal and reports.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("run")(run_command.run)
app.command("dashboard")(dashboard.dashboard)
app.command("status")(status.status)
app.add_typer(tls.app, name="tls")
app.add_typer(enrol.app, name="enrol")
app.add_typer(roster.app, name="roster")
app.add_typer(checkpoint.app, name="checkpoint")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line."""
    sys.exit(run(app))
