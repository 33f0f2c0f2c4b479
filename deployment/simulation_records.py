"""What is told of a simulation."""

from schemas.base import Record
from schemas.names import Name, SiteName


class SimulatedRound(Record):
    """One round of a simulation."""

    round: int
    updates: int
    """Usable and not."""
    quarantined: tuple[SiteName, ...]
    verdict: str
    released: float | None
    """Stratified AUROC of the sites' histograms; None where the plan does not judge."""
    held_out: float | None
    """Exact AUROC at the hospital that never takes part; None for an abandoned round."""


class Simulation(Record):
    """What was played, and what came of it."""

    plan: Name
    sites: int
    patients: int
    dropout: float
    skew: float
    poisoners: int
    attack: str
    seed: int
    rounds: tuple[SimulatedRound, ...]
    accepted_round: int | None
    ended: str
    """`done`, or why the run ended before."""
