"""The hospital's policy: what it allows. It is local and is never sent.

* An empty policy approves nothing. A plan is approved by digest, by a named person, one at a time.
* The cap bounds what all plans together may spend of each patient's privacy.
* A plan without privacy needs an approval that says so.
* When, and with how many threads and how much memory, work may be done can be limited.
* Which installed code may work can be pinned, by its digest.
* The node trains from its own copy of the approved plan, never from one that a message brings.
"""

from functools import lru_cache, partial
from pathlib import Path

import tomlkit
from pydantic import Field

from hospital_node.config import NodeHome
from hospital_node.protection import apart
from hospital_node.work_limits import WorkLimits
from schemas.base import Record
from schemas.errors import CodeChanged, HomeRefused, InputRefused, PlanNotApproved, PrivacyRequired
from schemas.files import read_settings, write_durably
from schemas.names import Digest, Moment, SiteName, Text, digest_of
from schemas.plan import NoPrivacy, PatientPrivacy, TrainingPlan
from schemas.protection.settings import LEAST_SURVIVORS, Encrypted
from schemas.software import code_identity

DEFAULT_POLICY = """# What this hospital allows. Change it with: hospital-node policy --help

[limit]
# No patient's privacy loss may exceed epsilon at delta, over all plans, rounds and models together.
epsilon = 8.0
delta = 0.0001
"""


class Limit(Record):
    """The cap on each patient's privacy loss."""

    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, le=0.01)


class Approval(Record):
    """One person's yes to one plan."""

    plan: Digest
    approver: Text = Field(min_length=1)
    approved: Moment
    without_privacy: bool = False


class Sums(Record):
    """What this hospital demands before its value goes into a sum."""

    least_survivors: int = Field(default=LEAST_SURVIVORS, ge=LEAST_SURVIVORS)
    """Fewest sites in a sum; the plan may demand more."""


class Software(Record):
    """The installed code that may work here."""

    code: Digest


class Policy(Record):
    """What this hospital allows."""

    limit: Limit
    software: Software | None = None
    """None: whichever is installed; the journal names it at every start."""
    sums: Sums = Sums()
    work: WorkLimits = WorkLimits()
    approvals: tuple[Approval, ...] = ()


def load_policy(home: NodeHome) -> Policy:
    """Read the policy.

    Raises:
        HomeRefused: the file is missing or cannot be read.
        InvalidRecord: it does not fit.
    """
    try:
        return _policy(read_settings(home.policy))
    except FileNotFoundError:
        message = "policy refused: policy.toml is missing"
        raise HomeRefused(message, next_step="restore it, or make a new home") from None


def approve(home: NodeHome, plan: TrainingPlan, approval: Approval) -> None:
    """Store the plan, then the approval.

    Raises:
        InputRefused: the plan is not pinned.
        PrivacyRequired: no privacy, and the approval does not say so.
        FederationError: it encrypts, and what that takes is not installed here.
    """
    refuse_unsuitable(plan, load_policy(home).limit, without_privacy=approval.without_privacy)
    content = plan.canonical()
    write_durably(home.plans / f"{plan.digest.removeprefix('sha256:')}.json", content)
    document = tomlkit.parse(read_settings(home.policy))
    rows = document.setdefault("approvals", tomlkit.aot())
    for index, known in reversed(list(enumerate(rows))):
        if known["plan"] == approval.plan:
            del rows[index]
    row = tomlkit.table()
    row.update(approval.model_dump(mode="json"))
    rows.append(row)
    write_durably(home.policy, tomlkit.dumps(document).encode())


def set_limit(home: NodeHome, limit: Limit) -> None:
    """Replace the cap; what was spent stays spent."""
    document = tomlkit.parse(read_settings(home.policy))
    document["limit"] = {"epsilon": limit.epsilon, "delta": limit.delta}
    write_durably(home.policy, tomlkit.dumps(document).encode())


def pin_code(home: NodeHome, code: Digest | None) -> None:
    """Allow only this installed code from now on; None: whichever is installed."""
    document = tomlkit.parse(read_settings(home.policy))
    document.pop("software", None)
    if code is not None:
        document["software"] = {"code": code}
    write_durably(home.policy, tomlkit.dumps(document).encode())


def installed_code() -> Digest:
    """Name the installed code of this side."""
    return code_identity(Path(__file__).parent)


def _refuse_other_code(policy: Policy) -> None:
    found = installed_code()
    if policy.software is not None and policy.software.code != found:
        message = (
            f"request refused: the installed code is {found[:19]}…, "
            f"this hospital allows only {policy.software.code[:19]}…"
        )
        next_step = (
            "install the allowed version; or, once the new one was checked: "
            "hospital-node policy pin --home DIR --approver NAME"
        )
        raise CodeChanged(message, next_step=next_step)


def refuse_unsuitable(plan: TrainingPlan, limit: Limit, *, without_privacy: bool) -> None:
    """Refuse a plan that nobody here may approve as it stands.

    Raises:
        InputRefused: not pinned, or another delta than the policy's.
        PrivacyRequired: no privacy, and that was not said.
        FederationError: it encrypts, and what that takes is not installed here.
    """
    if isinstance(plan.protection, Encrypted):
        apart.hold_installed()
    if not plan.is_pinned:
        message = "plan refused: its contract and initial arrays are not named by digest"
        raise InputRefused(
            message, next_step="ask the study lead to run: consilium init-weights PLAN"
        )
    if isinstance(plan.privacy, NoPrivacy) and not without_privacy:
        message = "plan refused: it trains without privacy, and the approval does not allow that"
        next_step = (
            "say so on purpose: hospital-node policy approve PLAN --home DIR "
            "--approver NAME --without-privacy"
        )
        raise PrivacyRequired(message, next_step=next_step)
    if isinstance(plan.privacy, PatientPrivacy) and plan.privacy.delta != limit.delta:
        message = (
            f"plan refused: its delta is {plan.privacy.delta:g}, this policy's is {limit.delta:g}"
        )
        next_step = (
            "set the policy's delta on purpose: hospital-node policy limit --home DIR "
            "--delta VALUE --approver NAME"
        )
        raise InputRefused(message, next_step=next_step)


def approved_plan(home: NodeHome, digest: Digest, *, site: SiteName) -> tuple[TrainingPlan, Policy]:
    """Return this hospital's own copy of an approved plan, and the policy as it stands now.

    Raises:
        CodeChanged: the installed code is not the one that is allowed here.
        PlanNotApproved: nobody here approved this digest, or the plan does not name this site.
        InputRefused: the policy's delta has changed since.
        IntegrityLost: the stored plan is damaged, or of another version of this software.
    """
    policy = load_policy(home)
    _refuse_other_code(policy)
    approval = next((one for one in policy.approvals if one.plan == digest), None)
    path = home.plans / f"{digest.removeprefix('sha256:')}.json"
    if approval is None or not path.exists():
        message = f"plan refused: nobody at this hospital approved {digest[:19]}…"
        next_step = (
            "read the plan, then: hospital-node policy approve PLAN --home DIR --approver NAME"
        )
        raise PlanNotApproved(message, next_step=next_step)
    content = path.read_bytes()
    plan = _stored_plan(content)
    if digest_of(content) != digest or plan.site(site) is None:
        message = (
            "plan refused: the stored plan was changed after its approval, "
            "or does not name this site"
        )
        raise PlanNotApproved(message, next_step="approve the plan again")
    refuse_unsuitable(plan, policy.limit, without_privacy=approval.without_privacy)
    return plan, policy


# Every request reads the policy and its plan; equal bytes give equal records, and both are small.
_policy = lru_cache(maxsize=8)(Policy.from_toml)
_stored_plan = lru_cache(maxsize=8)(partial(TrainingPlan.from_stored, what="the approved plan"))
