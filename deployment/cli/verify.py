"""`consilium bundle` and `consilium verify`: evidence that travels."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.audit.bundle import bundled
from aggregator.config import AggregatorHome, load_config
from aggregator.verification.whole import Verified, verified
from deployment.cli.prove import hold_proof, is_proof
from schemas.audit.notes import aggregator_origin, vkey
from schemas.audit.verification.container import NotABundle
from schemas.audit.verification.integrity import Bundle
from schemas.audit.verification.parties import PolicyUnfit, fingerprint, policy_text
from schemas.command_line import say_json
from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.names import digest_of

AggregatorsHome = Annotated[
    Path, typer.Option("--home", metavar="DIR", help="The aggregator's home.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def bundle(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's name.")],
    home: AggregatorsHome,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A new file, RUN.bundle.zip by default."),
    ] = None,
    json: Json = False,
) -> None:
    """Pack what a reviewer needs of a run into one file; it holds nothing private.

    Example: consilium bundle run-20261120-101500-3f9a --home agg --out bundle.zip
    """
    paths = AggregatorHome(home)
    load_config(paths)
    target = out or Path(f"{run}.bundle.zip")
    if target.exists():
        message = f"bundle refused: {target.name} is here already, and is never written over"
        raise InputRefused(message, next_step="name a new file with --out")
    content = bundled(paths, run)
    write_durably(target, content)
    if json:
        say_json({"bundle": str(target), "digest": digest_of(content), "size_bytes": len(content)})
        return
    typer.echo(f"{target}: {len(content)} bytes, {digest_of(content)}")
    typer.echo(f"Verify it, on any machine: consilium verify {target}")


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle, or an event's proof.")],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Keys and quorum that you trust."),
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="KEY", help="A proof's log and key, if no policy is.")
    ] = "",
    json: Json = False,
) -> None:
    """Verify a bundle offline: integrity, lineage, every site's epsilon and every verdict.

    Or the proof of one event: that it stands in its log, under a head that the log's key signed.

    Exit status 0: verified; 1: faults were found; 2: the file is neither.

    Example: consilium verify bundle.zip
    Example: consilium verify bundle.zip --policy federation.policy --json
    Example: consilium verify event-17.proof --policy federation.policy
    """
    try:
        text = None if policy is None else policy.read_text(encoding="utf-8")
        if is_proof(file):
            hold_proof(file, policy=text, key=key, json=json)
            return
        found = verified(file, text)
    except (NotABundle, PolicyUnfit, OSError, UnicodeDecodeError) as error:
        message = f"bundle refused: {error}"
        raise InputRefused(message, next_step="ask for the bundle again") from None
    if json:
        say_json(_told(found))
    else:
        _say(found)
    if found.findings.faults:
        raise typer.Exit(1)


def _told(found: Verified) -> dict[str, object]:
    bundle, findings, result = found.bundle, found.findings, found.derived
    return findings.told() | {
        "verdict": "refuted" if findings.faults else "verified",
        "run": bundle.run,
        "federation": bundle.federation,
        "root": fingerprint(bundle.root),
        "log": _log(bundle),
        "policy": policy_text(bundle.parties),
        "accepted": result.accepted,
        "lineage": list(result.rounds),
        "verdicts": {str(number): said for number, said in result.verdicts.items()},
        "epsilon": {
            site: {part: one.model_dump() for part, one in parts.items()}
            for site, parts in result.epsilon.items()
        },
    }


def _log(bundle: Bundle) -> str:
    """Name the aggregator's log with its key, as a policy does."""
    origin = aggregator_origin(bundle.federation)
    return vkey(origin, bundle.reigns.signers(origin)[-1])


def _say(found: Verified) -> None:
    bundle, findings, result = found.bundle, found.findings, found.derived
    typer.echo(f"Run {bundle.run} of {bundle.federation}.")
    typer.echo(f"Root key {fingerprint(bundle.root)}: compare it with the one you were given.")
    typer.echo(f"The aggregator's log and key: {_log(bundle)}")
    for site, parts in result.epsilon.items():
        for part, one in parts.items():
            typer.echo(f"{site}, {part}: epsilon {one.rdp:.3f} at delta {one.delta:g}")
    for number, said in result.verdicts.items():
        typer.echo(f"Round {number}: {said}")
    if result.accepted is not None:
        steps = ", ".join(map(str, result.rounds))
        typer.echo(f"Accepted model {result.accepted}, through rounds {steps}.")
    for finding in findings.remarks:
        typer.echo(f"remark: {finding}")
    for finding in findings.faults:
        typer.echo(f"FAULT: {finding}")
    typer.echo("REFUTED" if findings.faults else "Verified.")
