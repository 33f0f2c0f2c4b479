"""A stored cohort in words and as JSON: counts, classes, parts and findings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

import typer
from rich.console import Console
from rich.table import Table

from hospital_node.cohort.findings import Finding, conforms
from schemas.command_line import say_json
from schemas.contract import DataContract
from schemas.manifest import DatasetManifest, Part


def say_cohort(
    contract: DataContract,
    manifest: DatasetManifest,
    findings: Sequence[Finding],
    *,
    json: bool,
) -> None:
    """Say what a cohort is, for people or as one JSON object."""
    if json:
        say_json(summary(contract, manifest, findings))
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


def summary(
    contract: DataContract, manifest: DatasetManifest, findings: Sequence[Finding]
) -> dict[str, object]:
    """Return what a cohort is."""
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
