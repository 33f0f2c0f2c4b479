"""The report on a cohort that leaves: conforms or not, and the counts that the contract discloses.

1. A noised count is charged to the ledger, on disk, before the cohort is counted.
2. The report is signed and stored whole before its charge is final. The same cohort gets the stored
   report's very bytes: nothing is drawn or charged twice. What a crash left open is closed then.
3. A declared count is what a person says; the cohort is not looked at for it.
4. A report on today's cohort, once let leave, goes beside every reply under its contract. Where a
   plan needs one, nothing is worked on before it is there and says that the cohort conforms.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hospital_node.cohort.findings import conforms
from hospital_node.cohort.store import Cohort, manifest_digest, open_cohort
from hospital_node.node import Node
from hospital_node.policy import approved_plan, installed_code, load_policy
from hospital_node.privacy.consistency import hold_ledger
from hospital_node.privacy.discrete_gaussian import discrete_gaussian
from hospital_node.privacy.ledger import Entry, Ledger
from schemas.audit.events import ConformanceReported, ReplySent, Reserved, Settled
from schemas.audit.lines import read_facts
from schemas.conformance import (
    CHARGES,
    ConformanceCode,
    ConformanceReport,
    DeclaredCount,
    NoisedCount,
)
from schemas.contract import DataContract, Declared, Disclosure, Noised
from schemas.errors import CohortRefused, EnvelopeRefused, FederationError, InputRefused
from schemas.files import write_durably
from schemas.manifest import Part
from schemas.names import Digest, digest_of
from schemas.plan import TrainingPlan
from schemas.privacy import PrivacyStatement, SampledGaussian
from schemas.wire.envelope import opened, signed

__all__ = ["hold_reported", "reported", "standing"]


def reported(
    node: Node, contract: DataContract, *, declared: Mapping[Part, int], approver: str
) -> bytes:
    """Return the signed report on the cohort of a contract.

    Raises:
        EnvelopeRefused: this hospital has joined no federation.
        InputRefused: a declared count is missing, or one that the contract does not ask for.
        BudgetExceeded: a noised count would cost more than this hospital allows.
        LedgerDamaged: ledger and journal are not of one state.
    """
    _refuse_other_counts(contract, declared)
    membership, _ = node.membership()
    cohort, code = _judged(node, contract)
    name = _name(contract.digest, cohort.digest if cohort else None)
    path = node.home.conformance / f"{name}.json"
    if path.exists():
        content = path.read_bytes()
        stored = opened(content, ConformanceReport, key=node.keys)
        _concluded(node, content, name, stored.noised)
        return _resigned(node, path, stored, approver=approver)
    noised = tuple(_noised(node, cohort, one, name) for one in _to_noise(contract, cohort))
    report = ConformanceReport(
        federation=membership.federation,
        site=node.config.site,
        contract=contract.digest,
        code=code,
        head=node.journal.head(),
        declared=tuple(
            DeclaredCount(part=part, patients=count) for part, count in sorted(declared.items())
        ),
        noised=noised,
    )
    content = signed(report, node.key)
    write_durably(path, content, mode=0o600)
    _concluded(node, content, name, noised)
    node.journal.append(
        ConformanceReported(
            contract=contract.digest, code=code, report=digest_of(content), approver=approver
        )
    )
    return content


def _resigned(node: Node, path: Path, stored: ConformanceReport, *, approver: str) -> bytes:
    """Return a stored report; one of a key before is signed anew, with the same figures."""
    content = path.read_bytes()
    with suppress(EnvelopeRefused):
        opened(content, ConformanceReport, key=node.key.public)
        return content
    again = ConformanceReport(**dict(stored) | {"head": node.journal.head()})
    content = signed(again, node.key)
    write_durably(path, content, mode=0o600)
    node.journal.append(
        ConformanceReported(
            contract=stored.contract,
            code=stored.code,
            report=digest_of(content),
            approver=approver,
        )
    )
    return content


def standing(node: Node, plan: Digest) -> bytes | None:
    """Return the report on today's cohort under an approved plan's contract, if one was let leave.

    Whatever keeps it from being found is no reason to withhold a reply.
    """
    try:
        approved, _ = approved_plan(node.home, plan, site=node.config.site)
        return _stored(node, approved.contract.pinned or "")
    except (FederationError, OSError):
        return None


def hold_reported(node: Node, plan: TrainingPlan) -> None:
    """Hold that a plan which needs it has this site's report, and that it says `conforms`.

    Raises:
        CohortRefused: it has not.
    """
    if plan.participation.conformance == "optional":
        return
    content = _stored(node, plan.contract.pinned or "")
    found = "none"
    if content is not None:
        found = opened(content, ConformanceReport, key=node.keys).code
    if found != "conforms":
        message = (
            f"request refused: found {found} as this site's report on its cohort, the plan needs "
            "one that says conforms"
        )
        next_step = (
            "hospital-node cohort report --home DIR --contract FILE --out FILE --approver NAME"
        )
        raise CohortRefused(message, next_step=next_step)


def _stored(node: Node, contract: Digest) -> bytes | None:
    name = _name(contract, manifest_digest(node.cohort_folder, contract))
    path = node.home.conformance / f"{name}.json"
    return path.read_bytes() if path.exists() else None


def _name(contract: Digest, cohort: Digest | None) -> str:
    return f"{contract[7:23]}-{cohort[7:23] if cohort else 'none'}"


def _judged(node: Node, contract: DataContract) -> tuple[Cohort | None, ConformanceCode]:
    try:
        cohort = open_cohort(node.cohort_folder, contract.digest)
    except CohortRefused:
        return None, "no-cohort"
    return cohort, "conforms" if conforms(cohort.findings) else "does-not-conform"


def _refuse_other_counts(contract: DataContract, declared: Mapping[Part, int]) -> None:
    asked = {one.part for one in contract.disclosures if isinstance(one.price, Declared)}
    if asked != declared.keys():
        wanted = ", ".join(sorted(asked)) or "none"
        message = f"report refused: declared counts must be those of the contract: {wanted}"
        raise InputRefused(message, next_step="state each with --declare PART=PATIENTS")


def _to_noise(contract: DataContract, cohort: Cohort | None) -> list[Disclosure]:
    return [one for one in contract.disclosures if cohort and isinstance(one.price, Noised)]


def _noised(node: Node, cohort: Cohort | None, one: Disclosure, name: str) -> NoisedCount:
    """Charge, then count; one patient more or less changes the count by one."""
    if cohort is None or not isinstance(one.price, Noised):
        raise TypeError
    limit = load_policy(node.home).limit
    entry = Entry(
        request=_request(name, one.part),
        run=CHARGES,
        plan=cohort.manifest.contract,
        round=1,
        part=one.part,
        event=SampledGaussian(
            sampling_rate=1.0, noise_multiplier=one.price.noise_multiplier, steps=1
        ),
        max_norm=1.0,
        contract=cohort.manifest.contract,
        cohort=cohort.digest,
        software=installed_code(),
    )
    with Ledger(node.home.ledger) as ledger:
        hold_ledger(ledger.rows(), read_facts(node.home.journal, Reserved, Settled, ReplySent))
        spent = ledger.reserve(entry, limit=limit.epsilon, delta=limit.delta)
    node.journal.append(
        Reserved(
            request=entry.request, part=entry.part, event=entry.event, max_norm=1.0, spent=spent
        )
    )
    noise = int(discrete_gaussian((), one.price.noise_multiplier))
    statement = PrivacyStatement(event=entry.event, max_norm=1.0, part=one.part, spent=spent)
    return NoisedCount(
        part=one.part, patients=cohort.manifest.patients(one.part) + noise, privacy=statement
    )


def _concluded(node: Node, content: bytes, name: str, noised: tuple[NoisedCount, ...]) -> None:
    """Note that the stored report leaves, then make its charges final."""
    for one in noised:
        request = _request(name, one.part)
        with Ledger(node.home.ledger) as ledger:
            if ledger.status(request) != "reserved":
                continue
        node.journal.append(
            ReplySent(
                run=CHARGES,
                round=1,
                request=request,
                artefact="conformance report",
                reply=digest_of(content),
                arrays=None,
                size_bytes=len(content),
            )
        )
        with Ledger(node.home.ledger) as ledger:
            ledger.commit(request)
        node.journal.append(Settled(request=request, outcome="committed"))


def _request(name: str, part: Part) -> str:
    return f"{CHARGES}-{name}-{part}"
