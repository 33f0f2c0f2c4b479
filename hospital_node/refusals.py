"""A signed no: a coarse code for the aggregator, the reason in full for this hospital's journal."""

import logging

from hospital_node.node import Node
from schemas.audit.events import Refused, TurnedAway
from schemas.base import Record
from schemas.errors import (
    ArraysRefused,
    BudgetExceeded,
    CohortRefused,
    EnvelopeRefused,
    FederationError,
    HeadRefused,
    InputRefused,
    NotNow,
    NotWitnessed,
    OtherMessages,
    PartRefused,
    PolicyRefused,
    TooMuchMemory,
)
from schemas.names import Text
from schemas.protection.messages import AnyRequest
from schemas.update import Refusal, RefusalCode
from schemas.wire.envelope import signed
from schemas.wire.packet import Packet

_log = logging.getLogger(__name__)


_CODES: tuple[tuple[type[FederationError], RefusalCode], ...] = (
    (BudgetExceeded, "over-budget"),
    (NotNow, "not-now"),
    (TooMuchMemory, "unavailable"),
    (PolicyRefused, "not-approved"),
    (CohortRefused, "cohort-unfit"),
    (EnvelopeRefused, "request-invalid"),
    (ArraysRefused, "request-invalid"),
    (PartRefused, "request-invalid"),
    (InputRefused, "request-invalid"),
    (NotWitnessed, "not-witnessed"),
    (HeadRefused, "not-witnessed"),
)
"""What is told of a reason; the first that fits counts."""


class Reason(Record):
    """Why a request was refused, in full; it stays in this hospital's journal."""

    message: Text


def turned_away(node: Node, error: FederationError) -> None:
    """Note a request that nobody is owed an answer to; why stays in the private part."""
    is_other = isinstance(error, OtherMessages)
    reason = "of-another-version" if is_other else "not-of-this-federation"
    node.journal.append(
        TurnedAway(what="request", reason=reason, count=1),
        private=Reason(message=error.message[:2000]),
    )


def refusal(node: Node, request: AnyRequest, error: FederationError) -> Packet:
    """Sign a coarse no; the reason goes to the journal's private part."""
    code = _code(error)
    node.journal.append(
        Refused(run=request.run, round=request.round, request=request.request, code=code),
        private=Reason(message=error.message[:2000]),
    )
    _log.warning("run %s round %d: %s", request.run, request.round, error.message)
    bound = request.model_dump(include={"federation", "run", "plan", "round", "request"})
    site, head = node.config.site, node.journal.head()
    faulty = error.site if isinstance(error, PartRefused) else None
    said = Refusal(**bound, site=site, head=head, code=code, faulty=faulty)
    return Packet(signed(said, node.key))


def _code(error: FederationError) -> RefusalCode:
    return next((code for kind, code in _CODES if isinstance(error, kind)), "unavailable")
