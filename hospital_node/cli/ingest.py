"""`hospital-node cohort ingest`: from a folder, a PACS or DICOMweb to a stored cohort.

All that is printed here stays at the hospital.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer

from hospital_node.cli.options import ContractFile, Home, Json, read_contract
from hospital_node.cli.progress import progressing
from hospital_node.cli.summary import say_cohort
from hospital_node.cohort.ingest import Desk, IngestReport, ingest
from hospital_node.cohort.labels import read_labels
from hospital_node.cohort.parts import is_begun
from hospital_node.cohort.sources.folder import FolderSource
from hospital_node.cohort.sources.query import Query
from hospital_node.cohort.sources.source import Fetched, Source
from hospital_node.cohort.sources.spool import Spool, spool_of
from hospital_node.config import NodeConfig, NodeHome, load_web_secret
from hospital_node.node import Node, opened
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import CohortIngested, ImagesFetched
from schemas.contract import DataContract
from schemas.errors import CohortRefused, InputRefused, LedgerDamaged


class SourceKind(StrEnum):
    """Where images come from."""

    folder = "folder"
    pacs = "pacs"
    dicomweb = "dicomweb"


def ingest_cohort(  # noqa: PLR0913 - the options of a command
    *,
    home: Home,
    contract: ContractFile,
    kind: Annotated[
        SourceKind, typer.Option("--from", help="What the source is.")
    ] = SourceKind.folder,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="PATH",
            help="A folder of DICOM files (any depth), a zip archive, or a DICOMDIR. A PACS and "
            "DICOMweb stand in node.toml instead.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="The labels table; without it labels.csv inside the source or beside it.",
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Go on without objects that the archive lists and does not send.",
        ),
    ] = False,
    keep_spool: Annotated[
        bool,
        typer.Option(
            "--keep-spool", help="Keep what was fetched; it holds patients' images and names."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Read images and labels, check them against the contract, and store what training needs.

    Nothing that names a patient is stored. A cohort that was stored under the same contract is
    replaced when the new one conforms. A fetch that broke off goes on where it stopped.

    Example: hospital-node cohort ingest --home DIR --contract FILE --source /export

    Example: hospital-node cohort ingest --home DIR --contract FILE --from pacs --labels labels.csv
    """
    agreed = read_contract(contract)
    table = _labels(kind, source, labels)
    with opened(home, command="cohort-ingest") as node:
        _refuse_lost_parts(node.home)
        chosen = _source(
            kind, source, node, table=table, agreed=agreed, allow_missing=allow_missing
        )
        spool = spool_of(node.home.spool, kind.value, agreed.digest)
        fetched = _fetched(chosen, spool, node, kind=kind, contract=agreed)
        report = _ingested(fetched.folder, table, agreed, node)
        if not keep_spool:
            spool.discard()
    _say_fetched(fetched)
    say_cohort(agreed, report.manifest, report.findings, json=json)


def _fetched(
    source: Source, spool: Spool, node: Node, *, kind: SourceKind, contract: DataContract
) -> Fetched:
    with progressing("fetching images") as progress:
        fetched = source.fetched(spool, progress=progress)
    if kind is not SourceKind.folder:
        event = ImagesFetched(
            source="pacs" if kind is SourceKind.pacs else "dicomweb",
            contract=contract.digest,
            complete=not fetched.missing and not fetched.unlisted,
        )
        node.journal.append(event)
    return fetched


def _ingested(folder: Path, table: Path, contract: DataContract, node: Node) -> IngestReport:
    with progressing("reading images") as progress:
        desk = Desk(
            node.config.site,
            node.pseudonym_key,
            node.cohort_folder,
            progress,
            notice=lambda line: typer.echo(line, err=True),
        )
        try:
            report = ingest(folder, table, contract, desk=desk)
        except CohortRefused:
            node.journal.append(CohortIngested(contract=contract.digest, conforms=False))
            raise
    node.journal.append(CohortIngested(contract=contract.digest, conforms=True))
    return report


def _labels(kind: SourceKind, source: Path | None, labels: Path | None) -> Path:
    if labels is not None:
        return labels
    if kind is not SourceKind.folder or source is None:
        message = "labels refused: none were named; an archive is asked for the labelled images"
        raise InputRefused(message, next_step="name the table with --labels FILE")
    inside = source / "labels.csv"
    return inside if inside.exists() else source.resolve().parent / "labels.csv"


def _source(  # noqa: PLR0913 - what a command was given
    kind: SourceKind,
    source: Path | None,
    node: Node,
    *,
    table: Path,
    agreed: DataContract,
    allow_missing: bool,
) -> Source:
    if (source is None) == (kind is SourceKind.folder):
        message = "source refused: --source belongs to --from folder, and --from folder needs it"
        raise InputRefused(message, next_step="name a folder, or leave --source out")
    if source is not None:
        return FolderSource(source, table)
    query = Query.of(read_labels(table, agreed), agreed)
    match kind:
        case SourceKind.pacs:
            return _pacs(node.config, query, allow_missing=allow_missing)
        case SourceKind.dicomweb:
            return _dicomweb(node, query, allow_missing=allow_missing)
        case SourceKind.folder:
            raise AssertionError
        case _:
            assert_never(kind)


def _pacs(config: NodeConfig, query: Query, *, allow_missing: bool) -> Source:
    if config.pacs is None:
        raise _without("pacs")
    try:
        from hospital_node.cohort.sources.pacs import PacsSource  # noqa: PLC0415 - an extra
    except ImportError:
        raise _uninstalled() from None
    return PacsSource(config.pacs, query, allow_missing)


def _dicomweb(node: Node, query: Query, *, allow_missing: bool) -> Source:
    settings = node.config.dicomweb
    if settings is None:
        raise _without("dicomweb")
    try:
        from hospital_node.cohort.sources.dicomweb import DicomWebSource  # noqa: PLC0415 - an extra
    except ImportError:
        raise _uninstalled() from None
    secret = None if settings.authorization == "none" else load_web_secret(node.home)
    return DicomWebSource(settings, secret, query, allow_missing)


def _without(table: str) -> InputRefused:
    return InputRefused(
        f"source refused: node.toml has no [{table}], it says where the archive is",
        next_step="add it; docs/operations/ has an example",
    )


def _uninstalled() -> InputRefused:
    return InputRefused(
        "source refused: what speaks to an archive is not installed",
        next_step="pip install 'consilium[node,pacs]'",
    )


def _say_fetched(fetched: Fetched) -> None:
    """Say on standard error what became of what was asked for."""
    if fetched.asked:
        typer.echo(
            f"archive: {fetched.asked} objects asked for, {fetched.asked - fetched.missing} came, "
            f"{fetched.unasked} refused as not asked for; "
            f"{fetched.unlisted} patients without a labelled image there",
            err=True,
        )


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
