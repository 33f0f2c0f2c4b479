"""A whole federation in this process: every site with its own home, the real apps between them.

* Whoever calls this owns all the homes, so enrolment is done on the spot: each node is handed the
  root key and roster.
* A home that cannot be opened leaves its site out, with the reason; the others go on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context
from flwr.clientapp import ClientApp

from aggregator.delivery import deliver
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.federation import opened as opened_federation
from aggregator.flower import server_app
from aggregator.protection.sealing import SealedExchange
from aggregator.run_state import RunState
from aggregator.runs import conduct
from deployment.embedded import engine
from hospital_node.config import Membership
from hospital_node.flower import client_app
from hospital_node.node import Node
from hospital_node.node import opened as opened_node
from hospital_node.policy import load_policy
from hospital_node.privacy.ledger import Ledger
from hospital_node.protection.sealing import sealed_answer
from hospital_node.session import answer, unable
from schemas.audit.events import Facts
from schemas.errors import FederationError, HomeRefused, InputRefused
from schemas.names import Name, SiteName
from schemas.wire.packet import Packet


@dataclass(frozen=True, slots=True)
class EmbeddedFederation:
    """An aggregator and its nodes, all open and enrolled."""

    federation: Federation
    nodes: dict[SiteName, Node]
    left_out: tuple[FederationError, ...]
    """Why a home was not opened, for each that was not."""

    def conducted(
        self, run: Name, *, observe: Callable[[Facts], None], workers: int = 2
    ) -> RunState:
        """Conduct a run to its end over Flower's apps, and deliver what it released.

        Raises:
            FederationError: as `aggregator.runs.conduct`.
        """
        ended: list[RunState] = []

        def lead(exchange: Exchange, _: Context) -> None:
            sealing = SealedExchange(exchange, self.federation)
            ended.append(conduct(self.federation, run, sealing, observe))
            deliver(self.federation, run, sealing, observe)

        clients = {site: _client(node) for site, node in self.nodes.items()}
        engine.run(server_app.build(lead), clients, workers=workers)
        return ended[0]


@contextmanager
def opened(aggregator: Path, nodes: Sequence[Path]) -> Iterator[EmbeddedFederation]:
    """Open all homes and enrol every node with the aggregator.

    Raises:
        HomeRefused: the aggregator's home cannot be opened.
        InputRefused: two homes are of the same site.
    """
    with ExitStack() as stack:
        federation = stack.enter_context(opened_federation(aggregator, command="run"))
        found: dict[SiteName, Node] = {}
        left_out: list[FederationError] = []
        for home in nodes:
            _refuse_twice(home, nodes)
            try:
                node = stack.enter_context(opened_node(home, command="run"))
                load_policy(node.home)
                with Ledger(node.home.ledger):
                    pass
                federation.enrol(node.config.site, node.key.public, node.witness_key.public)
            except (FederationError, OSError, UnicodeDecodeError) as error:
                left_out.append(_left_out(home, error))
                continue
            _refuse_second(node.config.site, found)
            found[node.config.site] = node
        root, roster = federation.roster_envelope()
        membership = Membership(
            federation=federation.config.federation, root=root, roster=roster.decode()
        )
        for site, node in list(found.items()):
            try:
                node.join(membership)
            except FederationError as error:
                left_out.append(_left_out(node.home.root, error))
                del found[site]
        yield EmbeddedFederation(federation, found, tuple(left_out))


def _left_out(home: Path, error: Exception) -> FederationError:
    """Say which home is left out, and why."""
    if isinstance(error, FederationError):
        return HomeRefused(
            f"{home.name} is left out: {error.message}",
            next_step=f"{error.next_step}; then run again with it",
        )
    message = f"{home.name} is left out: a file of this home cannot be read or written"
    return HomeRefused(message, next_step="check the owner and the permissions of its files")


def _refuse_twice(home: Path, nodes: Sequence[Path]) -> None:
    if sum(other.resolve() == home.resolve() for other in nodes) > 1:
        message = f"home refused: {home.name} is named twice"
        raise InputRefused(message, next_step="name each site's home once")


def _refuse_second(site: SiteName, found: Mapping[SiteName, Node]) -> None:
    if site in found:
        message = f"home refused: two homes are of the site {site}"
        raise InputRefused(message, next_step="name each site's home once")


def _client(node: Node) -> ClientApp:
    def answering(how: Callable[[Node, Packet], Packet]) -> client_app.AnswerOf:
        return lambda _: lambda packet: sealed_answer(how, node, packet)

    return client_app.build(answering(answer), answering(unable))
