"""A study of four hospitals whose updates are encrypted, and what each of them holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.protection.attempts import sums_of
from aggregator.protection.summing import mean_of
from aggregator.run_state import RunState
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.protection.room import room_of
from schemas.audit.events import ExchangeAsked, Facts, RoundMoved
from schemas.names import SiteName
from schemas.plan import TrainingPlan
from schemas.protection.messages import Exchange
from schemas.protection.terms import share_of
from schemas.wire.arrays import declared_layout, flat_values
from tests.masked import FOUR
from tests.study import PRIVATE

ENCRYPTED: dict[str, Any] = PRIVATE | {
    "protection": {"kind": "encrypted"},
    "update_gate": {"max_norm": 100.0},
    "network": {"kind": "gabor-fourier", "features": 4098},
    "evaluation": {"rounds": [1], "bins": 10, "noise_multiplier": 3.0},
    "sites": [
        {"site": one, "weight": 1.0 + (one == "west"), "expected_patients": 12.0} for one in FOUR
    ],
}
"""More values than one ciphertext holds, and weights that are not equal."""


def held(embedded: EmbeddedFederation, run: str, plan: TrainingPlan) -> dict[SiteName, Any]:
    """Return what each node holds of round 1 and has not given to a sum yet."""
    found = {}
    for site, node in embedded.nodes.items():
        room = room_of(node.home, run, plan.digest, at=(1, "train"))
        path = room.folder / "value"
        if path.exists():
            content = path.read_bytes()[len(plan.digest) :]
            found[site] = np.array(flat_values(content, declared_layout(content)))
    return found


class Watching:
    """What the sites held when they were asked to open the sum, and the mean that was opened."""

    def __init__(self, embedded: EmbeddedFederation, plan: TrainingPlan) -> None:
        self.embedded, self.plan = embedded, plan
        self.held: dict[SiteName, Any] = {}
        self.mean: Any = None
        self.seen: list[Facts] = []

    def __call__(self, facts: Facts) -> None:
        self.seen.append(facts)
        if isinstance(facts, ExchangeAsked) and facts.exchange == "open":
            self.held = self.held or held(self.embedded, facts.run, self.plan)
        if isinstance(facts, RoundMoved) and facts.target == "screened":
            folder = self.embedded.federation.home.runs / facts.run
            state = RunState.from_canonical((folder / "states.jsonl").read_bytes().splitlines()[-1])
            assert state.opened is not None
            self.mean = mean_of(state.opened, sums_of(folder, 1, "train"), self.plan)

    def error(self, *sites: SiteName) -> float:
        """Return how far the opened mean is from that of what these sites held."""
        shares = {site: share_of(self.plan, site) for site in sites}
        whole = share_of(self.plan, *sites)
        expected = sum(share * self.held[site].astype(float) for site, share in shares.items())
        return float(np.abs(self.mean - expected / whole).max())


class PowerCutError(BaseException):
    """Ends the work at once, as far as the code can tell."""


def cutting(exchange: Exchange, kind: type[Facts], count: int = 2) -> Callable[[Facts], None]:
    """End the process when the given event of a kind in an exchange was written."""
    left = count

    def cut(facts: Facts) -> None:
        nonlocal left
        if isinstance(facts, kind) and getattr(facts, "request", "").endswith(f"-{exchange}"):
            left -= 1
            if left == 0:
                raise PowerCutError

    return cut


def run_folder(embedded: EmbeddedFederation, run: str) -> Path:
    """Return where the aggregator keeps a run."""
    return embedded.federation.home.runs / run
