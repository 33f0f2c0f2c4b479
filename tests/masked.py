"""A study of four hospitals whose updates are masked, and who takes part in which exchange."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.node import Node
from schemas.audit.events import Facts
from schemas.names import SiteName
from schemas.protection.messages import Exchange, ExchangeRequest
from schemas.wire.arrays import declared_layout, flat_values
from schemas.wire.envelope import Envelope
from schemas.wire.packet import Packet
from tests.study import (
    SITES,
    Direct,
    Study,
    approved,
    command,
    ingest,
    made,
    write_hospital,
)

FOUR = tuple(sorted((*SITES, "south")))
MASKED: dict[str, Any] = {
    "protection": {"kind": "masked"},
    "update_gate": {"max_norm": 10.0},
}
SUMMED: dict[str, Any] = {"evaluation": {"rounds": [1], "bins": 10, "protection": "masked"}}
ONE_ROUND: dict[str, Any] = {
    "rounds": 1,
    "evaluation": {"rounds": [1], "bins": 10},
    "participation": {"quorum": 3, "deadline_s": 60.0},
    "sites": [
        {"site": one, "weight": 1.0 + (one == "west"), "expected_patients": 12.0} for one in FOUR
    ],
}
"""Weights that are not equal, so that a wrong one shows."""


def made_of_four(folder: Path, **changes: Any) -> Study:
    """Make a study of four hospitals, approved by all, of one round unless told otherwise."""
    study = made(folder, approve=False, **(ONE_ROUND | changes))
    shutil.copytree(_south(), folder, dirs_exist_ok=True)
    whole = Study(folder, study.plan, study.aggregator, {one: folder / one for one in FOUR})
    for site in FOUR:
        approved(whole, site, private="privacy" in changes)
    return whole


@cache
def _south() -> Path:
    """Make the fourth hospital's home once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="consilium-south-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    study = made(folder, approve=False)
    write_hospital(folder / "data" / "south", 3)
    command("init", "--home", folder / "south", "--site", "south")
    ingest(study, "south")
    alone = Path(tempfile.mkdtemp(prefix="consilium-south-"))
    atexit.register(shutil.rmtree, alone, ignore_errors=True)
    shutil.copytree(folder / "south", alone / "south")
    return alone


def request_in(packet: Packet) -> ExchangeRequest | None:
    """Return the masking request in a packet; None for any other."""
    envelope = Envelope.from_canonical(packet.envelope)
    if envelope.kind != ExchangeRequest.__name__:
        return None
    return ExchangeRequest.from_canonical(envelope.payload_bytes)


def exchange_of(packet: Packet) -> Exchange | None:
    """Return which exchange a packet asks for; None for what is none."""
    request = request_in(packet)
    return None if request is None else request.exchange


@dataclass
class Dropping:
    """An exchange in which sites are silent from one exchange of masking on."""

    nodes: dict[SiteName, Node]
    drops: Mapping[SiteName, str] = field(default_factory=dict)
    """`train` and `evaluate` are the requests before the exchanges."""
    silent: set[SiteName] = field(default_factory=set)

    def __call__(
        self, packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        kind = Envelope.from_canonical(packet.envelope).kind
        now = exchange_of(packet) or {"TrainRequest": "train"}.get(kind, "evaluate")
        self.silent |= {site for site, place in self.drops.items() if place == now}
        yield from Direct(
            {site: node for site, node in self.nodes.items() if site not in self.silent}
        )(packet, sites, deadline_s=deadline_s)


def accepted(embedded: EmbeddedFederation, digest: str) -> "np.ndarray[Any, Any]":
    """Return a stored model's values."""
    content = embedded.federation.store.arrays(digest)
    return np.array(flat_values(content, declared_layout(content)))


def model_of(
    study: Study,
    drops: Mapping[SiteName, str] | None = None,
    observe: Callable[[Facts], None] = lambda _: None,
) -> "np.ndarray[Any, Any]":
    """Run a study with these drops; return the candidate of its last round."""
    with study.opened() as embedded:
        name = study.started(embedded.federation)
        exchange = Dropping(embedded.nodes, drops or {})
        state = conduct(embedded.federation, name, exchange, observe)
        assert state.candidate is not None
        return accepted(embedded, state.candidate)


@contextmanager
def begun(study: Study) -> Iterator[tuple[EmbeddedFederation, str]]:
    """Lend an open study and the name of a run that is ready to be conducted."""
    with study.opened() as embedded:
        yield embedded, study.started(embedded.federation)
