"""What a request is charged: the entry, the reservation before the work, the end when it leaves.

* Ledger and journal are held against each other whenever the ledger is opened.
* The ledger is written before the journal, and the journal before the work.
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager

from hospital_node.node import Node
from hospital_node.policy import Policy, installed_code
from hospital_node.privacy.consistency import hold_ledger
from hospital_node.privacy.ledger import Entry, Ledger
from hospital_node.work import Work
from schemas.audit.events import Facts, ReplySent, Reserved, Settled
from schemas.audit.lines import read_facts
from schemas.errors import EnvelopeRefused, PolicyRefused
from schemas.plan import PatientPrivacy
from schemas.privacy import PrivacyStatement
from schemas.update import Request, TrainRequest


def entry_of(request: Request, work: Work) -> Entry | None:
    """Return what the ledger must charge before the work; None for a plan without privacy."""
    plan = work.plan
    if not isinstance(plan.privacy, PatientPrivacy):
        return None
    trains = isinstance(request, TrainRequest)
    event = plan.train_event() if trains else plan.evaluation_event()
    if event is None:
        message = "plan refused: a private plan has an unpriced release"
        raise PolicyRefused(message, next_step="report this plan to the study lead")
    return Entry(
        request=request.request,
        run=request.run,
        plan=request.plan,
        round=request.round,
        part="train" if trains else "validation",
        event=event,
        max_norm=plan.privacy.max_norm if trains else 1.0,
        contract=work.cohort.manifest.contract,
        cohort=work.cohort.digest,
        software=installed_code(),
    )


@contextmanager
def held_ledger(node: Node) -> Iterator[Ledger]:
    """Open the ledger and hold it against the journal."""
    with Ledger(node.home.ledger) as ledger:
        claims = read_facts(node.home.journal, Reserved, Settled, ReplySent)
        hold_ledger(ledger.rows(), claims)
        yield ledger


def conclude(node: Node, ledger: Ledger, sent: ReplySent, *, noted: Container[Facts] = ()) -> None:
    """Note that a stored reply leaves, then make its charge final.

    What the journal noted before a crash, between two of these lines, is not noted again.
    """
    if sent not in noted:
        node.journal.append(sent)
    if ledger.status(sent.request) is None:
        return
    ledger.commit(sent.request)
    settled = Settled(request=sent.request, outcome="committed")
    if settled not in noted:
        node.journal.append(settled)


def charged(node: Node, ledger: Ledger, entry: Entry, policy: Policy) -> PrivacyStatement:
    """Write the charge to the ledger and to the journal, or refuse it."""
    if ledger.status(entry.request) == "committed":
        found = "its reply left before and is not here any more; it is never made again"
        message = f"request refused: {found}"
        raise EnvelopeRefused(message, next_step="ask the aggregator which request it meant")
    limit = policy.limit
    spent = ledger.reserve(entry, limit=limit.epsilon, delta=limit.delta)
    node.journal.append(
        Reserved(
            request=entry.request,
            part=entry.part,
            event=entry.event,
            max_norm=entry.max_norm,
            spent=spent,
        )
    )
    return PrivacyStatement(
        event=entry.event, max_norm=entry.max_norm, part=entry.part, spent=spent
    )
