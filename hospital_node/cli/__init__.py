"""The `hospital-node` command."""

import sys

import typer

from hospital_node.cli import (
    audit,
    budget,
    cohort,
    doctor,
    enrol,
    ingest,
    init,
    keys,
    model,
    policy,
    report,
    review,
    serve,
    withdraw,
)
from schemas.command_line import run

app = typer.Typer(
    name="hospital-node",
    help="A hospital's node: its cohort, policy, privacy account, models and journal.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(enrol.app, name="enrol")
cohort.app.command("ingest")(ingest.ingest_cohort)
cohort.app.command("report")(report.report)
cohort.app.command("review")(review.review)
cohort.app.command("withdraw")(withdraw.withdraw_patients)
app.add_typer(cohort.app, name="cohort")
app.add_typer(keys.app, name="keys")
app.add_typer(policy.app, name="policy")
app.add_typer(budget.app, name="budget")
app.add_typer(model.app, name="model")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line."""
    sys.exit(run(app))
