"""`hospital-node policy`: what this hospital allows."""

from typing import Annotated

import typer

from hospital_node.cli.options import Approver, Home, Json, PlanFile, named, read_plan
from hospital_node.config import NodeHome, load_config
from hospital_node.node import opened
from hospital_node.policy import (
    Approval,
    Limit,
    approve,
    installed_code,
    load_policy,
    pin_code,
    refuse_unsuitable,
    set_limit,
)
from hospital_node.pretrained import take_in
from hospital_node.privacy.forecast import Forecast, forecast
from hospital_node.privacy.ledger import Ledger
from hospital_node.privacy.uncharged import said, uncharged
from hospital_node.work_limits import changed, set_work_limits
from schemas.audit.events import (
    CodePinned,
    LimitSet,
    PlanApproved,
    ReplySent,
    RequestReceived,
    Reserved,
    WorkLimited,
)
from schemas.audit.lines import read_facts
from schemas.command_line import say_json
from schemas.errors import BudgetExceeded, InputRefused
from schemas.plan import PatientPrivacy, TrainingPlan

_MAX_DELTA = 0.01

app = typer.Typer(help="What this hospital allows: approved plans and the cap on epsilon.")


@app.command("approve")
def approve_plan(
    plan: PlanFile,
    home: Home,
    approver: Approver,
    without_privacy: Annotated[
        bool,
        typer.Option("--without-privacy", help="Allow a plan that gives patients no guarantee."),
    ] = False,
    json: Json = False,
) -> None:
    """Approve a plan by its digest. The node then trains from its own copy of it.

    Where the plan trains a part of a network only, the file of the frozen part stands beside it.

    A plan that would pass the cap in its first round is refused; one that would pass it later is
    approved with a warning.

    Example: hospital-node policy approve chest-xray.plan.toml --home /srv/consilium --approver "A.
    Steward, DPO"
    """
    wanted = read_plan(plan)
    named(approver)
    with opened(home, command="policy-approve") as node:
        if wanted.site(node.config.site) is None:
            message = "plan refused: it does not name this site"
            raise InputRefused(message, next_step="ask the study lead to add the site to the plan")
        ahead = _forecast(node.home, wanted)
        without = uncharged(read_facts(node.home.journal, ReplySent, RequestReceived, Reserved))
        if ahead.refused == 1:
            first = ahead.rounds[0]
            raise BudgetExceeded(
                before=max(ahead.before.train, ahead.before.validation),
                after=max(first.train, first.validation),
                limit=ahead.limit,
                delta=ahead.delta,
            )
        approval = Approval(
            plan=wanted.digest,
            approver=approver,
            approved=node.clock(),
            without_privacy=without_privacy,
        )
        private = isinstance(wanted.privacy, PatientPrivacy)
        refuse_unsuitable(wanted, load_policy(node.home).limit, without_privacy=without_privacy)
        take_in(node.home, wanted, plan)
        node.journal.append(
            PlanApproved(
                plan=wanted.digest,
                approver=approver,
                epsilon_limit=ahead.limit if private else None,
                delta=ahead.delta,
            )
        )
        approve(node.home, wanted, approval)
    if json:
        shown = {"plan": wanted.digest, "approver": approver, "refused_round": ahead.refused}
        say_json(shown | {"without_privacy": dict(without)})
        return
    typer.echo(f"Approved {wanted.name} as {wanted.digest}, by {approver}.")
    typer.echo(_cost(wanted, ahead))
    if said(without):
        typer.echo(said(without))


@app.command("limit")
def limit_epsilon(
    home: Home,
    approver: Approver,
    epsilon: Annotated[float | None, typer.Option(help="Largest epsilon of any patient.")] = None,
    delta: Annotated[float | None, typer.Option(help="Delta at which epsilon is held.")] = None,
    json: Json = False,
) -> None:
    """Change the cap. What was spent stays; a higher cap weakens every patient's guarantee.

    Example: hospital-node policy limit --home /srv/consilium --epsilon 4 --approver "A. Steward,
    DPO"
    """
    named(approver)
    _refuse_no_cap(epsilon, delta)
    with opened(home, command="policy-limit") as node:
        old = load_policy(node.home).limit
        new = Limit(
            epsilon=old.epsilon if epsilon is None else epsilon,
            delta=old.delta if delta is None else delta,
        )
        node.journal.append(LimitSet(approver=approver, epsilon=new.epsilon, delta=new.delta))
        set_limit(node.home, new)
    if json:
        say_json(new.model_dump(mode="json"))
        return
    typer.echo(f"The cap is epsilon {new.epsilon:g} at delta {new.delta:g} (was {old.epsilon:g}).")


@app.command("pin")
def pin(
    home: Home,
    approver: Approver,
    off: Annotated[bool, typer.Option("--off", help="Allow whichever code is installed.")] = False,
    json: Json = False,
) -> None:
    """Allow only the code that is installed now; after an update every request is refused.

    Check an update, then pin again. The digest stands in the journal at every start.

    Example: hospital-node policy pin --home /srv/consilium --approver "A. Steward, DPO"
    """
    named(approver)
    code = None if off else installed_code()
    with opened(home, command="policy-pin") as node:
        node.journal.append(CodePinned(approver=approver, code=code))
        pin_code(node.home, code)
    if json:
        say_json({"code": code})
        return
    typer.echo(f"Only {code} may work here." if code else "Whichever code is installed may work.")


@app.command("work")
def limit_work(  # noqa: PLR0913, PLR0917 - the options of a command
    home: Home,
    approver: Approver,
    hours: Annotated[
        str, typer.Option(help="From and to, as in 20:00-06:00; `any` for the whole day.")
    ] = "",
    clock: Annotated[
        str, typer.Option(help="The hours' clock: `utc`, or `local` for the machine's time zone.")
    ] = "",
    threads: Annotated[int | None, typer.Option(help="Most threads; 0: as the plan says.")] = None,
    memory_gib: Annotated[float | None, typer.Option(help="Most memory; 0: all there is.")] = None,
    json: Json = False,
) -> None:
    """Limit the hours of the day, the threads and the memory that work for a federation may use.

    What is not named stays as it is. Outside the hours requests are refused for now, and nothing is
    charged; the run goes on without this hospital, or is resumed.

    Example: hospital-node policy work --home /srv/consilium --hours 20:00-06:00 --clock local
    --approver "A. Steward, DPO"
    """
    named(approver)
    with opened(home, command="policy-work") as node:
        given = {"hours": hours, "clock": clock, "threads": threads, "memory_gib": memory_gib}
        new = changed(load_policy(node.home).work, given)
        node.journal.append(WorkLimited(approver=approver), private=new)
        set_work_limits(node.home, new)
    if json:
        say_json(new.model_dump(mode="json"))
        return
    typer.echo(f"Work is limited: {new.said}." if new.said else "Work is not limited.")


@app.command("show")
def show(home: Home, json: Json = False) -> None:
    """Show the cap, the limits of work, and the approved plans.

    Example: hospital-node policy show --home /srv/consilium
    """
    policy = load_policy(NodeHome(home))
    if json:
        say_json(policy.model_dump(mode="json"))
        return
    typer.echo(f"Cap: epsilon {policy.limit.epsilon:g} at delta {policy.limit.delta:g}")
    if policy.work.said:
        typer.echo(f"Work: {policy.work.said}")
    for one in policy.approvals:
        extra = ", WITHOUT PRIVACY" if one.without_privacy else ""
        typer.echo(f"Approved: {one.plan} by {one.approver} at {one.approved}{extra}")
    if not policy.approvals:
        typer.echo("No plan is approved.")


def _refuse_no_cap(epsilon: float | None, delta: float | None) -> None:
    """Refuse a change that is none, or a cap that is none.

    Raises:
        InputRefused: neither value is given, epsilon is not above 0, or delta not in (0, 0.01].
    """
    if epsilon is None and delta is None:
        message = "limit refused: neither --epsilon nor --delta is given, one is needed"
        raise InputRefused(message, next_step="name the value to change")
    if (epsilon is not None and not 0 < epsilon < float("inf")) or (
        delta is not None and not 0 < delta <= _MAX_DELTA
    ):
        message = (
            f"limit refused: epsilon must be above 0, and delta above 0 and at most {_MAX_DELTA}"
        )
        raise InputRefused(message, next_step="choose both within these bounds")


def _forecast(home: NodeHome, plan: TrainingPlan) -> Forecast:
    limit = load_policy(home).limit
    with Ledger(home.ledger) as ledger:
        site = load_config(home).site
        return forecast(plan, ledger.entries(), limit=limit.epsilon, delta=limit.delta, site=site)


def _cost(plan: TrainingPlan, ahead: Forecast) -> str:
    if not ahead.rounds:
        return f"{plan.name} GIVES PATIENTS NO PRIVACY GUARANTEE; nothing is charged."
    last = ahead.rounds[-1]
    text = (
        f"Epsilon would rise from {max(ahead.before.train, ahead.before.validation):.3f} to "
        f"{last.train:.3f} (train) and {last.validation:.3f} (validation) "
        f"at delta {ahead.delta:g}; the cap is {ahead.limit:g}."
    )
    if ahead.refused is not None:
        text += f" Round {ahead.refused} and those after it will be refused."
    return text
