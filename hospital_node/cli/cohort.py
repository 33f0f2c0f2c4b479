"""`hospital-node cohort`: the hospital's images under a contract.

All that is printed here stays at the hospital.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias, get_args

import typer
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table

from hospital_node.cli.options import Home, Json
from hospital_node.cohort.contract_checks import Finding, conforms
from hospital_node.cohort.ingest import Desk, ingest
from hospital_node.cohort.parts import is_begun
from hospital_node.cohort.store import open_cohort, stored_contracts
from hospital_node.config import NodeHome, load_config
from hospital_node.node import opened
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import CohortIngested
from schemas.command_line import say_json
from schemas.contract import DataContract
from schemas.errors import CohortRefused, InputRefused, LedgerDamaged
from schemas.manifest import DatasetManifest, Part

app = typer.Typer(help="The cohort: DICOM in, the contract checked, nobody identifiable.")

SILENT_S = 2.0
"""A progress bar appears after this long."""

ContractFile: TypeAlias = Annotated[
    Path, typer.Option("--contract", metavar="FILE", help="The data contract's TOML file.")
]


class SourceKind(StrEnum):
    """Where images come from."""

    folder = "folder"


@app.command("ingest")
def ingest_cohort(  # noqa: PLR0913 - the options of a command
    *,
    home: Home,
    contract: ContractFile,
    source: Annotated[
        Path, typer.Option("--source", metavar="DIR", help="The folder of DICOM files, any depth.")
    ],
    kind: Annotated[
        SourceKind, typer.Option("--from", help="What the source is.")
    ] = SourceKind.folder,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="The labels table; without it labels.csv inside the source or beside it.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Read images and labels, check them against the contract, and store what training needs.

    Nothing that names a patient is stored. A cohort that was stored under the same contract is
    replaced when the new one conforms.

    Example: hospital-node cohort ingest --home DIR --contract FILE --source /export
    """
    match kind:
        case SourceKind.folder:
            table = labels or _beside(source)
    agreed = _contract(contract)
    with opened(home, command="cohort-ingest") as node, _progress() as progress:
        _refuse_lost_parts(node.home)
        desk = Desk(node.config.site, node.pseudonym_key, node.cohort_folder, progress)
        try:
            report = ingest(source, table, agreed, desk=desk)
        except CohortRefused:
            node.journal.append(CohortIngested(contract=agreed.digest, conforms=False))
            raise
        node.journal.append(CohortIngested(contract=agreed.digest, conforms=True))
    _say(agreed, report.manifest, report.findings, json=json)


@app.command("check")
def check(*, home: Home, contract: ContractFile, json: Json = False) -> None:
    """Verify that the stored cohort is what was ingested, and show what its checks noticed.

    Example: hospital-node cohort check --home DIR --contract FILE
    """
    paths, agreed = NodeHome(home), _contract(contract)
    load_config(paths)
    cohort = open_cohort(paths.cohort, agreed.digest)
    _say(agreed, cohort.manifest, cohort.findings, json=json)


@app.command("show")
def show(*, home: Home, json: Json = False) -> None:
    """Show every stored cohort: what became of its files, and its classes and parts.

    Example: hospital-node cohort show --home /srv/consilium
    """
    paths = NodeHome(home)
    load_config(paths)
    cohorts = [open_cohort(paths.cohort, one.digest) for one in stored_contracts(paths.cohort)]
    if json:
        listed = [_summary(one.contract, one.manifest, one.findings) for one in cohorts]
        say_json({"cohorts": listed})
        return
    if not cohorts:
        typer.echo("no cohort is stored here")
    for one in cohorts:
        _say(one.contract, one.manifest, one.findings, json=False)


def _refuse_lost_parts(home: NodeHome) -> None:
    """Refuse to divide patients anew where the ledger prices the parts of an earlier register.

    Raises:
        LedgerDamaged: the ledger holds releases, and the register of parts is missing.
    """
    with Ledger(home.ledger) as ledger:
        releases = len(ledger.entries())
    if releases and not is_begun(home.cohort):
        raise LedgerDamaged(
            f"ledger refused: it holds {releases} releases, and the register of the patients' "
            "parts that they were priced by is missing",
            next_step=f"restore {home.cohort.name}.parts.json, ledger and journal from a backup",
        )


def _beside(source: Path) -> Path:
    inside = source / "labels.csv"
    return inside if inside.exists() else source.resolve().parent / "labels.csv"


def _contract(path: Path) -> DataContract:
    try:
        return DataContract.from_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        message = f"contract refused: {path.name} cannot be read"
        raise InputRefused(message, next_step="check the file's name and its permissions") from None


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Lend a bar on standard error that appears when the work takes long and somebody looks."""
    console = Console(stderr=True)
    columns = (
        *Progress.get_default_columns()[:-1],
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task, begun = bar.add_task("reading images", total=None), time.monotonic()

    def advance(done: int, files: int) -> None:
        bar.update(task, completed=done, total=files)
        if not bar.live.is_started and time.monotonic() - begun > SILENT_S:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


def _say(
    contract: DataContract,
    manifest: DatasetManifest,
    findings: Sequence[Finding],
    *,
    json: bool,
) -> None:
    if json:
        say_json(_summary(contract, manifest, findings))
        return
    used = len(manifest.rows)
    typer.echo(
        f"{contract.id} {contract.version}: {manifest.read} files read, {used} used, "
        f"{_files(manifest, 'quarantined')} quarantined, {_files(manifest, 'refused')} refused; "
        f"{manifest.patients()} patients; "
        + ("conforms" if conforms(findings) else "does not conform")
    )
    Console().print(_class_table(contract, manifest))
    for one in findings:
        typer.echo(_line(one))


def _class_table(contract: DataContract, manifest: DatasetManifest) -> Table:
    names = [one.value for one in contract.labels.classes]
    table = Table("part", "patients", *(f"images of class {name}" for name in names))
    for part, counts in _images(contract, manifest).items():
        table.add_row(part, str(manifest.patients(part)), *(str(counts[name]) for name in names))
    return table


def _line(one: Finding) -> str:
    return (
        f"{one.severity}: {one.code} ({one.count}): found {one.found}; expected {one.expected}; "
        f"{one.remedy}"
    )


def _summary(
    contract: DataContract, manifest: DatasetManifest, findings: Sequence[Finding]
) -> dict[str, object]:
    return {
        "site": manifest.site,
        "contract": {"id": contract.id, "version": contract.version, "digest": contract.digest},
        "manifest": manifest.digest,
        "conforms": conforms(findings),
        "read": manifest.read,
        "used": len(manifest.rows),
        "quarantined": _files(manifest, "quarantined"),
        "refused": _files(manifest, "refused"),
        "not_used": [one.model_dump(mode="json") for one in manifest.not_used],
        "patients": {part: manifest.patients(part) for part in get_args(Part)},
        "images": _images(contract, manifest),
        "findings": [one.model_dump(mode="json") for one in findings],
    }


def _files(manifest: DatasetManifest, outcome: str) -> int:
    return sum(one.files for one in manifest.not_used if one.outcome == outcome)


def _images(contract: DataContract, manifest: DatasetManifest) -> Mapping[Part, Mapping[str, int]]:
    """Count the images of each part by class."""
    counts = Counter((row.part, row.label) for row in manifest.rows)
    return {
        part: {one.value: counts[part, label] for label, one in enumerate(contract.labels.classes)}
        for part in get_args(Part)
    }
