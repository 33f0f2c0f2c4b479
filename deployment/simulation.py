"""A study in small, before there is one: many invented hospitals, on one machine, taking turns.

* Everything is real but the patients: homes, journals, ledgers, gates, and Flower's apps between
  them. A hospital's home is opened for one request and closed again, and it forgets its replies of
  earlier rounds, so that neither memory nor disk grows with sites times rounds.
* What is played is drawn from the seed. Private noise never is, so private figures differ.
* Figures are held out: a hospital that never takes part says how good each round's model is.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import tomlkit

from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.federation import make as make_aggregator
from aggregator.federation import opened as opened_aggregator
from aggregator.material import read_material
from aggregator.runs import conduct, started, stored
from deployment.embedded.turns import Answer, Answers, take_turns
from deployment.invented_sites import HELD_OUT, HeldOut, Scenario, agree, furnish
from deployment.material import pin
from deployment.outcome import ENDS, round_outcomes
from deployment.poison import POISONS, poisoned
from deployment.simulation_records import SimulatedRound, Simulation
from hospital_node.config import Membership
from hospital_node.node import Node, opened
from hospital_node.session import answer, unable
from schemas.audit.events import Facts, Quarantined, ReplyReceived, RoundMoved, SumOpened
from schemas.contract import DataContract, PartByHash
from schemas.errors import FederationError, InputRefused
from schemas.files import write_durably
from schemas.names import Name, SiteName
from schemas.plan import PatientPrivacy, TrainingPlan
from schemas.protection.settings import PROTECTIONS
from schemas.wire.envelope import Envelope
from schemas.wire.packet import Packet

FRACTION = 0.25
"""Validation patients of a simulated hospital."""

Watch: TypeAlias = Callable[[str, int, int], None]
"""Hears of a stage, how much of it is done, and of how much."""

_SCENARIO = ("sites", "patients", "dropout", "skew", "poisoners", "attack", "seed")


@dataclass(slots=True)
class Play:
    """A run as it is played, and what is counted of it."""

    federation: Federation
    run: Name
    scenario: Scenario
    folder: Path
    updates: Counter[int] = field(default_factory=Counter)
    """By round."""
    quarantined: defaultdict[int, list[SiteName]] = field(default_factory=lambda: defaultdict(list))
    ended: str = ""


def written_plan(plan: TrainingPlan, scenario: Scenario, folder: Path) -> Path:
    """Write a plan for the invented hospitals, not pinned yet.

    Judged rounds after the last one are left out, and the last one is judged.

    Raises:
        InputRefused: fewer hospitals than a plan can have.
    """
    fields: dict[str, Any] = plan.model_dump(mode="json", exclude_none=True)
    judged = sorted({one for one in plan.evaluation.rounds if one < plan.rounds} | {plan.rounds})
    expected = {"expected_patients": max(1.0, round(scenario.patients * (1 - FRACTION)))}
    private = isinstance(plan.privacy, PatientPrivacy)
    least = PROTECTIONS[plan.protection.kind].least_quorum(scenario.sites)
    quorum = max(plan.participation.quorum, math.ceil(scenario.sites / 2), least)
    fields["contract"] = {"file": "simulation.contract.toml"}
    fields["initial"] = {"seed": plan.initial.seed}
    fields["sites"] = [{"site": one} | (expected if private else {}) for one in scenario.names]
    fields["evaluation"]["rounds"] = judged
    fields["gate"] |= {"site_margins": {}, "min_sites": min(plan.gate.min_sites, scenario.sites)}
    fields["participation"]["quorum"] = min(quorum, scenario.sites)
    if (plan.aggregation.average_from or 0) > judged[0]:
        del fields["aggregation"]["average_from"]
    path = folder / "simulation.plan.toml"
    write_durably(path, tomlkit.dumps(fields).encode())
    return path


def contract_for(contract: DataContract) -> DataContract:
    """Return a contract that the invented images fit, at the size of the plan's own.

    Raises:
        InputRefused: the plan's contract makes volumes or colour, which are not invented.
    """
    recipe = contract.preprocessing
    if len(recipe.shape) != 2:  # noqa: PLR2004 - rows and columns
        message = (
            "simulation refused: the plan's contract makes volumes or colour, only grey images"
        )
        raise InputRefused(f"{message} are invented", next_step="name a plan of grey images")
    shipped = Path(__file__).parent / "demo" / "synthetic.contract.toml"
    invented = DataContract.from_toml(shipped.read_text(encoding="utf-8"))
    size = {"height": recipe.height, "width": recipe.width}
    rules = {"min_patients": 2, "parts": PartByHash(validation_fraction=FRACTION)}
    return invented.model_copy(
        update={
            "preprocessing": invented.preprocessing.model_copy(update=size),
            "cohort": invented.cohort.model_copy(update=rules),
        }
    )


def simulated(
    plan: TrainingPlan,
    contract: DataContract,
    scenario: Scenario,
    *,
    folder: Path,
    watch: Watch,
) -> Simulation:
    """Play a plan at invented hospitals; homes and models are left in `folder`.

    Raises:
        InputRefused: the plan's contract makes volumes or colour, or its updates are masked and
        would be poisoned.
        InvalidRecord: the plan's parts do not go together for these hospitals.
    """
    _refuse_unplayable(plan, scenario)
    rules = contract_for(contract)
    text = tomlkit.dumps(rules.model_dump(mode="json", exclude_none=True))
    write_durably(folder / "simulation.contract.toml", text.encode())
    path = written_plan(plan, scenario, folder)
    pinned = pin(path).plan
    sites = (*scenario.names, HELD_OUT)
    for done, site in enumerate(sites, start=1):
        furnish(folder / site, site, rules, scenario=scenario)
        if site != HELD_OUT:
            agree(folder / site, pinned)
        watch("Inventing", done, len(sites))
    make_aggregator(folder / "aggregator", federation="simulation")
    with opened_aggregator(folder / "aggregator", command="simulate") as federation:
        _enrol(federation, scenario, folder)
        play = Play(federation, started(federation, read_material(path)), scenario, folder)
        play.ended = _played(play, pinned.rounds, watch)
        return _told(play, pinned)


def _refuse_unplayable(plan: TrainingPlan, scenario: Scenario) -> None:
    """Refuse to poison updates that leave their hospital as part of a sum only."""
    if plan.protection.kind != "open" and scenario.dishonest and scenario.attack in POISONS:
        message = (
            f"simulation refused: the attack {scenario.attack} changes an update, and this plan's "
            "updates stay at their hospitals"
        )
        raise InputRefused(message, next_step="play flipped-labels, or a plan that is open")


def _enrol(federation: Federation, scenario: Scenario, folder: Path) -> None:
    """Enrol every hospital, and hand each the roster."""
    for site in scenario.names:
        with opened(folder / site, command="simulate") as node:
            federation.enrol(site, node.key.public, node.witness_key.public)
    root, roster = federation.roster_envelope()
    name = federation.config.federation
    membership = Membership(federation=name, root=root, roster=roster.decode())
    for site in scenario.names:
        with opened(folder / site, command="simulate") as node:
            node.join(membership)


def _played(play: Play, rounds: int, watch: Watch) -> str:
    """Conduct the run, and say why it ended."""

    def observe(facts: Facts) -> None:
        match facts:
            case ReplyReceived(arrays=arrays, round=number) if arrays is not None:
                play.updates[number] += 1
            case SumOpened(purpose="train", survivors=survivors, round=number):
                play.updates[number] += len(survivors)
            case Quarantined(site=site, round=number) if site is not None:
                play.quarantined[number].append(site)
            case RoundMoved(round=number, target=target) if target in ENDS:
                watch("Training", number, rounds)
            case _:
                pass

    def lead(exchange: Exchange) -> None:
        conduct(play.federation, play.run, _with_absences(exchange, play), observe)

    try:
        take_turns({site: _answers(play, site) for site in play.scenario.names}, lead)
    except FederationError as error:
        return error.message
    return "done"


def _with_absences(exchange: Exchange, play: Play) -> Exchange:
    """Return an exchange in which hospitals are away as the scenario says."""

    def exchanged(
        packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        number = _round_of(packet)
        away = {site for site in sites if play.scenario.is_away(site, number)}
        yield from ((site, None) for site in sites if site in away)
        here = [site for site in sites if site not in away]
        yield from exchange(packet, here, deadline_s=deadline_s)

    return exchanged


def _round_of(packet: Packet) -> int:
    """Return the round that a request of this very process is about."""
    content = json.loads(Envelope.from_canonical(packet.envelope).payload_bytes)
    return int(content["round"])


def _answers(play: Play, site: SiteName) -> Answers:
    """Answer for a hospital: its home is opened for one request, and closed again."""

    def answering(how: Callable[[Node, Packet], Packet]) -> Answer:
        def answered(packet: Packet) -> Packet:
            with opened(play.folder / site, command="simulate") as node:
                reply = how(node, packet)
                _forget(node, play.run)
                if site in play.scenario.dishonest:
                    return poisoned(reply, play.scenario.attack, node.key)
                return reply

        return answered

    return Answers(usual=answering(answer), unable=answering(unable))


def _forget(node: Node, run: Name) -> None:
    """Drop the updates of all rounds but the last; a real node keeps them."""
    for path in sorted((node.home.replies / run).glob("*-train"))[:-1]:
        path.unlink()


def _told(play: Play, plan: TrainingPlan) -> Simulation:
    """Return what came of the run; each round's candidate is scored at the held-out hospital."""
    models = {one.round: one.arrays for one in play.federation.registry.checkpoints(play.run)}
    _, state = stored(play.federation, play.run)
    judge = HeldOut(play.folder / HELD_OUT, plan)
    outcomes = round_outcomes(play.federation.journal.events(), play.run)
    rounds = [
        SimulatedRound(
            round=one.round,
            updates=play.updates[one.round],
            quarantined=tuple(sorted(set(play.quarantined[one.round]))),
            verdict=one.verdict,
            released=one.auroc,
            held_out=judge.auroc(play.federation.store.arrays(models[one.round]))
            if one.round in models
            else None,
        )
        for one in outcomes
    ]
    return Simulation(
        plan=plan.name,
        **{name: getattr(play.scenario, name) for name in _SCENARIO},
        rounds=tuple(rounds),
        accepted_round=state.accepted.round or None,
        ended=play.ended,
    )
