"""What the sites say they have spent, and which replies do not carry the privacy that is promised.

* A site's figure is the one that it stated and signed with its last reply in the run.
* The aggregator prices the run's own releases again: a site never spent less than this run cost.
* A plan without privacy has no epsilon: it is undefined, never zero.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from aggregator.audit.reading import Reading
from aggregator.audit.records import Purpose, SiteSpend
from aggregator.audit.releases import replies
from schemas.accounting import epsilon_rdp
from schemas.audit.events import ReplyReceived
from schemas.manifest import Part
from schemas.plan import PatientPrivacy, TrainingPlan
from schemas.privacy import PrivacyStatement, SampledGaussian

_PARTS: tuple[Part, ...] = ("train", "validation")
_SLACK = 1e-6
"""Relative difference allowed between two computations of one epsilon."""


def faults(source: Reading, plan: TrainingPlan, rows: Iterable[SiteSpend]) -> tuple[str, ...]:
    """Say which replies do not carry the privacy that the plan demands."""
    if not isinstance(plan.privacy, PatientPrivacy):
        return ()
    found = [
        f"round {facts.round}, {facts.site}: {fault}"
        for _, facts in replies(source)
        for fault in _statement_faults(
            facts.privacy, plan.privacy, plan=plan, purpose=source.purpose(facts.request)
        )
    ]
    found += [
        f"{row.site}, {row.part} part: states epsilon {row.spent.rdp:.3f}, "
        f"less than the {row.run_rdp:.3f} that this run alone cost"
        for row in rows
        if row.spent and row.run_rdp and row.spent.rdp < row.run_rdp * (1 - _SLACK)
    ]
    return tuple(found)


def highest(rows: Iterable[SiteSpend]) -> SiteSpend | None:
    """Return the largest enforced figure; None when no site stated one."""
    stated = [one for one in rows if one.spent is not None]
    return max(stated, key=lambda one: one.spent.rdp if one.spent else 0.0, default=None)


def spends(source: Reading, plan: TrainingPlan) -> tuple[SiteSpend, ...]:
    """Return the spend of both parts of every site, in site order."""
    grouped: dict[tuple[str, Part], list[ReplyReceived]] = defaultdict(list)
    for _, facts in replies(source):
        part: Part = "train" if source.purpose(facts.request) == "train" else "validation"
        grouped[facts.site, part].append(facts)
    priced: dict[tuple[tuple[SampledGaussian, ...], float], float] = {}
    return tuple(
        _spend(site, part, grouped.get((site, part), []), plan=plan, priced=priced)
        for site in sorted({one.site for one in plan.sites} | {site for site, _ in grouped})
        for part in _PARTS
    )


def _spend(
    site: str,
    part: Part,
    received: Sequence[ReplyReceived],
    *,
    plan: TrainingPlan,
    priced: dict[tuple[tuple[SampledGaussian, ...], float], float],
) -> SiteSpend:
    """Take the last statement; sites with equal releases are priced once."""
    statements = [one.privacy for one in received if one.privacy is not None]
    if not isinstance(plan.privacy, PatientPrivacy):
        reason = "undefined: the plan has no privacy"
    elif not received:
        reason = "undefined: no such release of this site was received in this run"
    elif not statements:
        reason = "undefined: the replies carry no privacy statement"
    else:
        reason = ""
    run_rdp = None
    if statements:
        key = tuple(one.event for one in statements), statements[-1].spent.delta
        if key not in priced:
            priced[key] = epsilon_rdp(key[0], delta=key[1])
        run_rdp = priced[key]
    return SiteSpend(
        site=site,
        part=part,
        releases=len(received),
        spent=statements[-1].spent if statements else None,
        run_rdp=run_rdp,
        reason=reason,
    )


def _statement_faults(
    statement: PrivacyStatement | None,
    promised: PatientPrivacy,
    *,
    plan: TrainingPlan,
    purpose: Purpose,
) -> list[str]:
    if statement is None:
        return ["a reply without a privacy statement"]
    is_update = purpose == "train"
    event = plan.train_event() if is_update else plan.evaluation_event()
    bound = promised.max_norm if is_update else 1.0
    checks = {
        "its mechanism is not the plan's": statement.event != event,
        "its bound is not the plan's": statement.max_norm != bound,
        "it names the wrong part": statement.part != ("train" if is_update else "validation"),
        f"its delta {statement.spent.delta:g} is above the plan's {promised.delta:g}": (
            statement.spent.delta > promised.delta
        ),
    }
    return [text for text, wrong in checks.items() if wrong]
