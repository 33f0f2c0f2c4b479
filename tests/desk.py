"""A hospital at work, and an aggregator that may ask it what it likes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregator.material import read_material
from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.node import Node
from hospital_node.privacy.ledger import Ledger
from schemas.audit.events import Facts, Quarantined
from schemas.errors import EnvelopeRefused
from schemas.names import digest_of
from schemas.update import Evaluation, Refusal, TrainRequest, Update
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet
from tests.study import Direct, Study, Tamper, made, witnessed

DELTA = 1e-4
ONE_ROUND: dict[str, Any] = {"rounds": 1, "evaluation": {"rounds": [1]}}


@dataclass(frozen=True, slots=True)
class Desk:
    """An open study, seen from its first hospital."""

    study: Study
    embedded: EmbeddedFederation
    body: bytes

    @property
    def node(self) -> Node:
        return self.embedded.nodes["east"]

    def request(self, kind: type[Any] = TrainRequest, **changes: Any) -> Any:
        number = changes.get("round", 1)
        purpose = "train" if kind is TrainRequest else "evaluate"
        fields: dict[str, Any] = {
            "federation": "t",
            "run": "run-1",
            "plan": self.study.parsed().digest,
            "round": number,
            "request": f"run-1.{number}.{purpose}",
            "participants": ("east", "north", "west"),
            "arrays": digest_of(self.body),
            "issued": "2026-01-01T00:00:00.000Z",
        }
        return kind(**(fields | changes))

    def packet(self, kind: type[Any] = TrainRequest, **changes: Any) -> Packet:
        return Packet(
            signed(self.request(kind, **changes), self.embedded.federation.key), self.body
        )

    def asked(self, kind: type[Any] = TrainRequest, **changes: Any) -> Any:
        return self.read(self.answer(self.packet(kind, **changes)))

    def refused(self, kind: type[Any] = TrainRequest, **changes: Any) -> str:
        """Return the code of the refusal that a request gets."""
        reply = self.asked(kind, **changes)
        assert isinstance(reply, Refusal)
        return reply.code

    def read(self, reply: Packet) -> Update | Evaluation | Refusal:
        key = self.node.key.public
        try:
            return opened(reply.envelope, Update, Evaluation, key=key)
        except EnvelopeRefused:
            return opened(reply.envelope, Refusal, key=key)

    def answer(self, packet: Packet) -> Packet:
        return witnessed(self.embedded, self.node, packet)

    def spent(self, part: Any = "train") -> float:
        with Ledger(self.node.home.ledger) as ledger:
            return ledger.spent(part, delta=DELTA).rdp

    def facts(self, kind: type[Any]) -> list[Any]:
        return [one.facts for one in self.node.journal.events() if isinstance(one.facts, kind)]


@contextmanager
def desk(folder: Path, **options: Any) -> Iterator[Desk]:
    study = made(folder, **options)
    with study.opened() as embedded:
        yield Desk(study, embedded, read_material(study.plan).initial)


def attacked(study: Study, tamper: Callable[[EmbeddedFederation], Tamper]) -> list[Facts]:
    """Run a study to its end through a tampered exchange and return what was recorded."""
    with study.opened() as embedded:
        seen: list[Facts] = []
        name = study.started(embedded.federation)
        exchange = Direct(embedded.nodes).tampering(tamper(embedded))
        conduct(embedded.federation, name, exchange, seen.append)
        return seen


def quarantined(seen: list[Facts]) -> list[tuple[str | None, str]]:
    return [(one.site, one.check) for one in seen if isinstance(one, Quarantined)]
