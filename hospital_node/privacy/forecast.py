"""What a plan would cost here, round by round, before anyone approves it.

* Pure: the plan's constants and the releases that already count; no image is opened.
* The figures are those that the ledger enforces (Renyi accounting, each part on its own).
* What the gate could notice for that price stands beside it, from declared sizes: a hospital should
  not pay for an evaluation that can show nothing.
"""

from collections.abc import Collection, Iterable

from hospital_node.privacy.ledger import Entry
from schemas import accounting
from schemas.base import Record
from schemas.contract import DataContract, PartByHash
from schemas.gate_power import power
from schemas.manifest import Part
from schemas.names import SiteName, Text
from schemas.plan import TrainingPlan
from schemas.privacy import SampledGaussian

ASSUMED_FRACTION = 0.2
"""Share of validation patients where the contract declares none."""


class RoundForecast(Record):
    """Epsilon of both parts after a round."""

    round: int
    train: float
    validation: float


class Forecast(Record):
    """A plan's cost on top of what is spent."""

    delta: float
    limit: float
    before: RoundForecast
    """The round before the first that is priced: what stands today."""
    rounds: tuple[RoundForecast, ...]
    """Empty for a plan without privacy, which is not priced."""
    refused: int | None
    """The first round that the limit would refuse, in training or in evaluation."""


class GatePower(Record):
    """True losses of AUROC that the gate notices with probability `schemas.gate_power.POWER`."""

    stratified: float | None
    """At all sites alike; None when no site is large enough."""
    sites: dict[SiteName, float | None]
    """At that site alone; None: too small for a figure of its own."""
    assumes: Text


def forecast(  # noqa: PLR0913 - a cap is two numbers, and a run that has begun two more
    plan: TrainingPlan,
    entries: Iterable[Entry],
    *,
    limit: float,
    delta: float,
    site: SiteName | None = None,
    done: int = 0,
    paid: Collection[tuple[Part, int]] = (),
) -> Forecast:
    """Price the rounds of a plan after the first `done`, as if they began now.

    What is `paid` of them stands in `entries` already, and is not priced again. At a `site` that
    only evaluates, training costs nothing.
    """
    declared = None if site is None else plan.site(site)
    trains = declared is None or declared.role == "trainer"
    spent = tuple(entries)
    train, validation = _events(spent, "train"), _events(spent, "validation")
    judging = [one for one in plan.evaluation.rounds if one > done]

    def standing(number: int) -> RoundForecast:
        trained = number - done - sum(part == "train" and one <= number for part, one in paid)
        judged = sum(one <= number and ("validation", one) not in paid for one in judging)
        return RoundForecast(
            round=number,
            train=_epsilon(train, plan.train_event(), times=trained if trains else 0, delta=delta),
            validation=_epsilon(validation, plan.evaluation_event(), times=judged, delta=delta),
        )

    private = plan.train_event() is not None
    left = range(done + 1, plan.rounds + 1) if private else ()
    rounds = tuple(standing(number) for number in left)
    over = (one.round for one in rounds if max(one.train, one.validation) > limit)
    return Forecast(
        delta=delta, limit=limit, before=standing(done), rounds=rounds, refused=next(over, None)
    )


def gate_power(plan: TrainingPlan, contract: DataContract | None) -> GatePower:
    """Return what the plan's gate would notice, by the sizes that the plan declares.

    Validation patients are taken as the contract's share of a site's, expected train patients as
    the rest, and either class as half. A site without a declared size has no figure. Nothing is
    looked at but plan and contract; of a very good model the gate notices smaller losses.
    """
    declared = _validation_fraction(contract)
    fraction = ASSUMED_FRACTION if declared is None else declared
    halves = {
        one.site: one.expected_patients * fraction / (1.0 - fraction) / 2.0
        for one in plan.sites
        if one.expected_patients is not None
    }
    noticed = power(
        plan.gate,
        {site: (half, half) for site, half in halves.items()},
        bins=plan.evaluation.bins,
        noise_multiplier=plan.evaluation.noise_multiplier,
        metric=plan.metric,
    )
    source = "assumed" if declared is None else "by the contract"
    return GatePower(
        stratified=noticed.stratified,
        sites=dict(noticed.sites),
        assumes=f"{fraction:.0%} of the patients validate ({source}), half of them of each class",
    )


def _validation_fraction(contract: DataContract | None) -> float | None:
    if contract is None or not isinstance(contract.cohort.parts, PartByHash):
        return None
    return contract.cohort.parts.validation_fraction


def _events(entries: Iterable[Entry], part: Part) -> list[SampledGaussian]:
    return [entry.event for entry in entries if entry.part == part]


def _epsilon(
    spent: list[SampledGaussian], event: SampledGaussian | None, *, times: int, delta: float
) -> float:
    if event is None or times == 0:
        return accounting.epsilon_rdp(spent, delta=delta)
    repeated = event.model_copy(update={"steps": event.steps * times})
    return accounting.epsilon_rdp([*spent, repeated], delta=delta)
