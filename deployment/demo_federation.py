"""A demo's federation, by the commands that a person types, each shown as it runs.

What is added to them is exact figures at the end, since the demo owns every home.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

import aggregator.cli
import deployment.cli
import hospital_node.cli
from aggregator.audit.publication import page_of
from aggregator.config import AggregatorHome, load_root
from aggregator.material import read_material
from aggregator.runs import run_names, stored
from deployment.demo_data import Source
from deployment.demo_processes import free_address, led
from deployment.embedded.federation import opened
from deployment.outcome import released_auroc, round_outcomes, site_outcomes, undefined_reasons
from deployment.shell import Shell
from schemas.command_line import say_refusal
from schemas.enrolment import fingerprint_of
from schemas.errors import FederationError, InputRefused, PeerRefused
from schemas.names import Address, digest_of
from schemas.plan import NoPrivacy

_APPROVER = "Demo Steward (invented)"


@dataclass(frozen=True, slots=True)
class Demo:
    """Where it is, what is trained, and on whose data."""

    place: Path
    plan: Path
    sources: Sequence[Source]

    @property
    def aggregator(self) -> Path:
        """The aggregator's home."""
        return self.place / "aggregator"


def federated(demo: Demo, stage: Console, *, is_deployed: bool) -> dict[str, Any]:
    """Make the homes, ingest, approve, run and report.

    Raises:
        FederationError: nobody is left to train, or a process that is needed ended.
    """
    shell, home = Shell(stage), demo.aggregator
    address = free_address() if is_deployed else None
    shell.run(deployment.cli.app, "consilium", "init-weights", demo.plan)
    words = ("--home", home, "--name", "demo", *(("--address", address) if address else ()))
    shell.run(aggregator.cli.app, "aggregator", "init", *words)
    made = [_node(demo, one, shell, address) for one in demo.sources]
    homes = [one for one in made if one is not None]
    if not homes:
        message = "demo refused: no hospital is left to train"
        raise InputRefused(message, next_step="mend what the refusals above name")
    if is_deployed:
        led(demo.plan, home, homes, shell.say)
    else:
        _embedded(demo, homes, shell)
    evidence = _evidence(demo, shell)
    return _outcome(home, homes, stage) | evidence


def _embedded(demo: Demo, homes: Sequence[Path], shell: Shell) -> None:
    nodes = [part for node in homes for part in ("--node", node)]
    words = ("run", demo.plan, "--aggregator", demo.aggregator, *nodes)
    try:
        shell.run(deployment.cli.app, "consilium", *words)
    except PeerRefused as error:
        say_refusal(error)


def _evidence(demo: Demo, shell: Shell) -> dict[str, Any]:
    """Write the bundle and the report, and hold the bundle against itself."""
    home, bundle = demo.aggregator, demo.place / "bundle.zip"
    name = max(path.parent.name for path in home.glob("runs/*/plan.json"))
    command = (deployment.cli.app, "consilium")
    shell.run(*command, "bundle", name, "--home", home, "--out", bundle)
    is_verified = shell.run(*command, "verify", bundle) == 0
    shell.run(aggregator.cli.app, "aggregator", "audit", "report", "--home", home)
    return {"bundle": str(bundle), "bundle_verified": is_verified}


def _node(demo: Demo, source: Source, shell: Shell, address: Address | None) -> Path | None:
    """Make one hospital's node; a refusal is shown, and leaves this hospital out."""
    home = demo.place / "nodes" / source.site
    pinned = read_material(demo.plan).plan
    contract = demo.plan.parent / pinned.contract.file
    command = (hospital_node.cli.app, "hospital-node")
    approve = ["policy", "approve", demo.plan, "--home", home, "--approver", _APPROVER]
    if isinstance(pinned.privacy, NoPrivacy):
        approve.append("--without-privacy")
    ingest = ["cohort", "ingest", "--home", home, "--contract", contract, "--from", "folder"]
    try:
        shell.run(*command, "init", "--home", home, "--site", source.site, *_told(demo, address))
        shell.run(*command, *ingest, "--source", source.folder, "--labels", source.labels)
        shell.run(*command, *approve)
        if address is not None:
            _enrol(demo, home, shell)
    except FederationError as error:
        say_refusal(error)
        return None
    return home


def _told(demo: Demo, address: Address | None) -> list[str]:
    """Return what a hospital is told on the phone."""
    if address is None:
        return []
    root = load_root(AggregatorHome(demo.aggregator))
    return ["--aggregator", address, "--fingerprint", fingerprint_of(root)]


def _enrol(demo: Demo, home: Path, shell: Shell) -> None:
    request, answer = (demo.place / f"{home.name}.{one}.json" for one in ("request", "admission"))
    command = (hospital_node.cli.app, "hospital-node", "enrol")
    shell.run(*command, "request", "--home", home, "--out", request)
    heard = digest_of(request.read_bytes())
    approve = ("enrol", "approve", request, "--home", demo.aggregator, "--digest", heard)
    shell.run(aggregator.cli.app, "aggregator", *approve, "--out", answer)
    shell.run(*command, "install", answer, "--home", home)


def _outcome(home: Path, homes: Sequence[Path], stage: Console) -> dict[str, Any]:
    """Gather what the run came to."""
    with opened(home, homes) as embedded:
        federation = embedded.federation
        name = run_names(federation)[-1]
        plan, state = stored(federation, name)
        accepted = state.accepted.round or None
        model = federation.store.arrays(state.accepted.arrays) if accepted else None
        sites, exact = site_outcomes(embedded.nodes, plan, state, model)
        rounds = round_outcomes(federation.journal.events(), name)
        for reason in undefined_reasons(embedded.nodes, plan):
            stage.print(reason, soft_wrap=True, highlight=False, markup=False)
    return {
        "sites": [one.model_dump(mode="json") for one in sites],
        "rounds": [one.model_dump(mode="json") for one in rounds],
        "accepted_round": accepted,
        "auroc": released_auroc(state),
        "auroc_exact": exact,
        "report": str(page_of(federation.home, name)),
    }
