"""`aggregator checkpoint`: the stored models, where each came from, and how they differ.

These commands only read, so they work while a run owns the home.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from aggregator.checkpoints.comparison import Comparison, compared
from aggregator.checkpoints.registry import Checkpoint, Registry
from aggregator.checkpoints.store import CheckpointStore
from aggregator.cli.options import Home, Json
from aggregator.config import AggregatorHome, load_config
from schemas.audit.events import ModelDelivered, VerdictGiven
from schemas.audit.lines import read_facts
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.gate import Verdict
from schemas.names import Digest

app = typer.Typer(help="The stored models: their lineage, verdicts and differences.")

Named: TypeAlias = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="The model's digest, or how it begins.")
]
Run: TypeAlias = Annotated[str, typer.Option("--run", help="Models of this run only.")]


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What these commands read."""

    home: AggregatorHome
    registry: Registry
    store: CheckpointStore

    def checkpoints(self, run: str = "") -> list[Checkpoint]:
        """List the models of one run or of all, oldest first."""
        names = [run] if run else [one.name for one in self.registry.runs()]
        return [one for name in names for one in self.registry.checkpoints(name)]

    def verdict(self, one: Checkpoint) -> Verdict | None:
        """Return what the gate said of a model; None where the plan did not judge it."""
        for facts in read_facts(self.home.journal, VerdictGiven):
            if isinstance(facts, VerdictGiven) and facts.run == one.run:
                verdict = facts.verdict
                if (verdict.candidate, verdict.round) == (one.arrays, one.round):
                    return verdict
        return None

    def named(self, text: str, run: str = "") -> Checkpoint:
        """Return the one model whose digest begins so; of several runs the newest entry.

        Raises:
            InputRefused: none or several models do.
        """
        wanted = text.removeprefix("sha256:")
        found = [
            one
            for one in self.checkpoints(run)
            if wanted and one.arrays.removeprefix("sha256:").startswith(wanted)
        ]
        if len({one.arrays for one in found}) != 1:
            count = len({one.arrays for one in found})
            message = (
                f"checkpoint refused: {count} models have a digest that begins so, one is needed"
            )
            raise InputRefused(message, next_step="see them: aggregator checkpoint list --home DIR")
        return found[-1]

    def delivered(self, model: Digest) -> list[str]:
        """Name the sites whose receipt for a model came."""
        facts = read_facts(self.home.journal, ModelDelivered)
        return sorted(
            {one.site for one in facts if isinstance(one, ModelDelivered) and one.arrays == model}
        )


@app.command("list")
def list_checkpoints(home: Home, run: Run = "", json: Json = False) -> None:
    """Show every stored model: its run, round, status and metric.

    Example: aggregator checkpoint list --home /srv/federation
    """
    with _shelf(home) as shelf:
        found = shelf.checkpoints(run)
        metrics = _metrics(shelf)
    if json:
        say_json(
            {"checkpoints": [_fields(one) | {"value": _metric(one, metrics)} for one in found]}
        )
        return
    table = Table(title="Checkpoints")
    for column in ("model", "run", "round", "status", "metric", "made"):
        table.add_column(column)
    for one in found:
        metric = _metric(one, metrics)
        said = "" if metric is None else f"{metric:.3f}"
        table.add_row(one.arrays[7:23], one.run, str(one.round), one.status, said, one.created)
    Console().print(table)


@app.command("show")
def show(checkpoint: Named, home: Home, run: Run = "", json: Json = False) -> None:
    """Show one model: its sources, its verdict, who has it, and its line from the initial weights.

    The bytes of every model of the line are held against their digests.

    Example: aggregator checkpoint show 3f9a21c0 --home /srv/federation
    """
    with _shelf(home) as shelf:
        one = shelf.named(checkpoint, run)
        line = shelf.registry.lineage(one.arrays, run=one.run)
        manifest = shelf.store.manifest(one.manifest)
        for ancestor in line:
            shelf.store.arrays(ancestor.arrays)
        verdict, delivered = shelf.verdict(one), shelf.delivered(one.arrays)
    if json:
        say_json(
            {
                "checkpoint": manifest.model_dump(mode="json"),
                "status": one.status,
                "verdict": None if verdict is None else verdict.model_dump(mode="json"),
                "delivered": delivered,
                "lineage": [_fields(ancestor) for ancestor in line],
            }
        )
        return
    typer.echo(f"Model     {manifest.arrays}")
    typer.echo(f"Run       {manifest.run}, round {manifest.round}: {one.status}")
    typer.echo(f"Plan      {manifest.plan}")
    typer.echo(f"Contract  {manifest.contract}")
    for source in manifest.sources:
        typer.echo(f"Update    {source.site}, weight {source.weight:g}: {source.update}")
    typer.echo(f"Verdict   {'not judged by the plan' if verdict is None else verdict.reason}")
    typer.echo(f"Delivered {', '.join(delivered) or 'to nobody'}")
    typer.echo("Line, each verified by its digest:")
    for ancestor in line:
        typer.echo(f"  round {ancestor.round}  {ancestor.arrays[:23]}…  {ancestor.status}")


@app.command("compare")
def compare(
    first: Named,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="The model to compare it with.")],
    home: Home,
    json: Json = False,
) -> None:
    """Show how far two models are apart, array by array, and each site's metric under both.

    Example: aggregator checkpoint compare 3f9a21c0 81bd07aa --home /srv/federation
    """
    with _shelf(home) as shelf:
        pair = shelf.named(first), shelf.named(second)
        found = compared(
            shelf.store.arrays(pair[0].arrays),
            shelf.store.arrays(pair[1].arrays),
            (shelf.verdict(pair[0]), shelf.verdict(pair[1])),
        )
    if json:
        models = {"first": _fields(pair[0]), "second": _fields(pair[1])}
        say_json(found.model_dump(mode="json") | models)
        return
    _say(found, pair)


@contextmanager
def _shelf(root: Home) -> Iterator[_Shelf]:
    home = AggregatorHome(root)
    load_config(home)
    with Registry(home.checkpoints / "registry.sqlite") as registry:
        yield _Shelf(home, registry, CheckpointStore(home.checkpoints / "objects"))


def _metrics(shelf: _Shelf) -> dict[tuple[str, int, str], float | None]:
    return {
        (facts.run, facts.verdict.round, facts.verdict.candidate): facts.verdict.value
        for facts in read_facts(shelf.home.journal, VerdictGiven)
        if isinstance(facts, VerdictGiven)
    }


def _metric(one: Checkpoint, metrics: dict[tuple[str, int, str], float | None]) -> float | None:
    return metrics.get((one.run, one.round, one.arrays))


def _fields(one: Checkpoint) -> dict[str, str | int | float | None]:
    return {
        "model": one.arrays,
        "run": one.run,
        "round": one.round,
        "status": one.status,
        "parent": one.parent,
        "created": one.created,
    }


def _say(found: Comparison, pair: tuple[Checkpoint, Checkpoint]) -> None:
    for name, one in zip(("First ", "Second"), pair, strict=True):
        typer.echo(f"{name} {one.arrays[:23]}…  {one.run}, round {one.round}: {one.status}")
    cosine = "undefined" if found.cosine is None else f"{found.cosine:.6f}"
    typer.echo(f"{found.values} values, L2 distance {found.distance:.6g}, cosine {cosine}")
    table = Table(title="Arrays")
    for column in ("array", "values", "L2 distance", "relative"):
        table.add_column(column)
    for row in found.arrays:
        relative = "" if row.relative is None else f"{row.relative:.3g}"
        table.add_row(row.name, str(row.values), f"{row.distance:.6g}", relative)
    console = Console()
    console.print(table)
    if found.sites:
        sites = Table(title="As released")
        for column in ("site", "first", "second"):
            sites.add_column(column)
        for change in found.sites:
            sites.add_row(change.site, *(_figure(one) for one in (change.first, change.second)))
        console.print(sites)


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
