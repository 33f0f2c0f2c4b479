"""The hospital's own report: what left, at what cost, who decided, what was refused.

* It only reads, and does so while another command owns the home.
* The journal is read before the ledger, which is then never behind it.
"""

from collections.abc import Sequence

from hospital_node.audit import account, findings
from hospital_node.audit.plots import HEIGHT, WIDTH, spending_plot
from hospital_node.audit.records import HospitalReport, Identity, ModelRow, PartRow
from hospital_node.config import NodeHome, load_config
from hospital_node.delivery import installed, models, opened_model
from hospital_node.node import membership_of
from hospital_node.policy import installed_code, load_policy
from hospital_node.privacy.consistency import hold_charges
from hospital_node.privacy.ledger import Entry, Ledger, Row, standing
from hospital_node.privacy.uncharged import uncharged
from schemas import accounting
from schemas.audit.events import AuditEvent, HeadCosigned
from schemas.audit.journal import verified
from schemas.audit.lines import read_events
from schemas.audit.notes import TreeHead, claimed_head, site_origin
from schemas.audit.work import software_rows
from schemas.enrolment import SignedAdmission, fingerprint_of
from schemas.errors import FederationError
from schemas.names import Moment
from schemas.pages.certificates import certificate_rows
from schemas.pages.environment import environment
from schemas.pages.records import CertificateRow
from schemas.software import VERSION
from schemas.wire.keys import SigningKey, former_keys


def report(home: NodeHome, *, generated: Moment) -> HospitalReport:
    """Report on everything that this home's journal and ledger hold.

    Raises:
        HomeRefused: not a node's home.
        LedgerDamaged: the ledger cannot be read.
        JournalDamaged: an event cannot be read.
    """
    identity, limit = _identity(home), load_policy(home).limit
    head = _head(home, identity)
    events = tuple(read_events(home.journal))
    with Ledger(home.ledger) as ledger:
        rows = ledger.rows()
    parts = _parts(standing(rows), events, delta=limit.delta)
    refusals = account.refusals(events, home.journal / "private")
    incidents = account.incidents(events)
    came, damaged = _models(home)
    return HospitalReport(
        identity=identity,
        generated=generated,
        version=VERSION,
        code=installed_code(),
        head=(home.journal / "head").read_text(encoding="utf-8"),
        events=len(events),
        findings=(
            findings.integrity(head, len(events)),
            findings.privacy(
                parts,
                _contradiction(rows, events),
                limit=limit.epsilon,
                delta=limit.delta,
            ),
            findings.contract(events),
            findings.gate(came, damaged),
            findings.exceptions(refusals, incidents),
        ),
        sent=account.sent(events),
        limit=limit.epsilon,
        delta=limit.delta,
        parts=parts,
        charges=account.charges(events),
        refusals=refusals,
        incidents=incidents,
        decisions=account.decisions(events),
        replaced=account.replaced(events),
        models=came,
        cosigned=_cosigned(events),
        software=software_rows(events),
    )


def render(made: HospitalReport) -> str:
    """Return the page: one HTML file that needs nothing else."""
    template = environment("hospital_node.audit").get_template("hospital.html.j2")
    plot = spending_plot(made.charges, limit=made.limit)
    return template.render(report=made, plot=plot, width=WIDTH, height=HEIGHT)


def _identity(home: NodeHome) -> Identity:
    site = load_config(home).site
    keys = {
        "key": SigningKey.load(home.signing_key).public,
        "witness": SigningKey.load(home.witness_key).public,
    }
    if not home.membership.exists():
        return Identity(
            site=site,
            federation=None,
            root=None,
            serial=None,
            aggregator=None,
            certificates=(),
            **keys,
        )
    membership, roster = membership_of(home)
    return Identity(
        site=site,
        federation=membership.federation,
        root=fingerprint_of(membership.root),
        serial=roster.serial,
        aggregator=roster.aggregator,
        certificates=_certificates(home),
        **keys,
    )


def _certificates(home: NodeHome) -> tuple[CertificateRow, ...]:
    if not home.admission.exists():
        return ()
    admission = SignedAdmission.from_stored(home.admission.read_bytes(), what="the admission")
    return certificate_rows(admission.opened(fingerprint_of(admission.root)).authorities.encode())


def _head(home: NodeHome, identity: Identity) -> TreeHead | FederationError:
    try:
        keys = (identity.key, *former_keys(home.keys))
        return verified(home.journal, origin=site_origin(identity.site), key=keys)
    except FederationError as error:
        return error


def _parts(
    entries: Sequence[Entry], events: Sequence[AuditEvent], *, delta: float
) -> tuple[PartRow, ...]:
    without = uncharged(event.facts for event in events)
    rows = []
    for part in ("train", "validation"):
        own = [one.event for one in entries if one.part == part]
        rows.append(
            PartRow(
                part=part,
                releases=len(own),
                without_privacy=without[part],
                spent=accounting.spend(own, delta=delta),
            )
        )
    return tuple(rows)


def _contradiction(rows: Sequence[Row], events: Sequence[AuditEvent]) -> FederationError | None:
    try:
        hold_charges(rows, tuple(event.facts for event in events))
    except FederationError as error:
        return error
    return None


def _models(home: NodeHome) -> tuple[tuple[ModelRow, ...], tuple[str, ...]]:
    decision = installed(home)
    rows, damaged = list[ModelRow](), list[str]()
    for digest in models(home):
        try:
            found = opened_model(home, digest)
        except FederationError as error:
            damaged.append(f"{digest[:19]}…: {error.message}")
            continue
        manifest, verdict = found.release.manifest, found.release.verdict
        rows.append(
            ModelRow(
                arrays=digest,
                run=manifest.run,
                round=manifest.round,
                auroc=verdict.auroc,
                reason=verdict.reason,
                in_use=decision is not None and decision.arrays == digest,
            )
        )
    return tuple(rows), tuple(damaged)


def _cosigned(events: Sequence[AuditEvent]) -> int:
    notes = [one.facts.head for one in events if isinstance(one.facts, HeadCosigned)]
    head = claimed_head(notes[-1]) if notes else None
    return 0 if head is None else head.size
