"""`aggregator audit`: reports, and proof that the journal is whole."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aggregator import door
from aggregator.audit.publication import publish
from aggregator.audit.signing import Review, signed_off
from aggregator.cli.options import Home, Json, read_file
from aggregator.config import AggregatorHome, load_config
from aggregator.federation import opened
from aggregator.runs import run_names
from schemas.audit.journal import refuse_empty, verified
from schemas.audit.notes import aggregator_origin
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.wire.keys import SigningKey, former_keys

app = typer.Typer(help="Reports for reviewers, and proof that no line of the journal was changed.")


@app.command("report")
def report(
    home: Home,
    run: Annotated[str, typer.Option("--run", help="The run; the last one if not given.")] = "",
    json: Json = False,
) -> None:
    """Write the report of a run as one HTML page and the same as JSON.

    Example: aggregator audit report --home /srv/federation
    """
    with opened(home, command="audit-report") as federation:
        names = run_names(federation)
        if not names:
            message = "report refused: this federation has no run yet"
            raise InputRefused(message, next_step="run a plan first: consilium run PLAN …")
        page = publish(federation, run or names[-1])
    if json:
        say_json(
            {"run": run or names[-1], "html": str(page), "json": str(page.with_suffix(".json"))}
        )
        return
    typer.echo(f"Report of {run or names[-1]}: {page}")


@app.command("sign-off")
def sign_off(  # noqa: PLR0913 - the options of a command
    *,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that was reviewed.")],
    home: Home,
    bundle: Annotated[
        Path, typer.Option("--bundle", metavar="FILE", help="The bundle that was reviewed.")
    ],
    name: Annotated[str, typer.Option("--name", help="Who signs, as printed under it.")],
    meaning: Annotated[
        Literal["reviewed", "approved", "rejected"],
        typer.Option("--meaning", help="What the signature means."),
    ],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Keys and quorum that you trust."),
    ] = None,
) -> None:
    """Record in the journal that a person has reviewed a run, and what that means.

    The bundle must be of this run, and is named by its digest. It is verified whole, as by
    `consilium verify`; one with faults can only be rejected.

    Example: aggregator audit sign-off RUN --home agg --bundle b.zip --name "R. Reviewer"
    --meaning approved
    """
    with opened(home, command="audit-sign-off") as federation:
        text = None if policy is None else read_file(policy, "policy").decode(errors="replace")
        review = Review(run, bundle, name, meaning, text)
        signed = signed_off(federation, review)
        federation.journal.append(signed)
    typer.echo(f"{name}: {meaning}, {run}, bundle {signed.bundle}")


@app.command("verify")
def verify(home: Home, json: Json = False) -> None:
    """Hold every event of the journal, and of the relay's, against the signed tree heads.

    Example: aggregator audit verify --home /srv/federation
    """
    paths = AggregatorHome(home)
    config, key = load_config(paths), SigningKey.load(paths.service_key).public
    head = verified(paths.journal, origin=aggregator_origin(config.federation), key=key)
    refuse_empty(head.size)
    turned_away = 0
    if paths.door.exists():
        keys = (key, *former_keys(paths.keys))
        turned_away = verified(paths.door, origin=door.origin(config), key=keys).size
    if json:
        said = {"events": head.size, "origin": head.origin, "root": head.root.hex()}
        say_json(said | {"door": turned_away})
        return
    typer.echo(f"{head.size} events match the signed tree head of {head.origin}.")
    typer.echo(f"{turned_away} events match that of the relay's journal.")
