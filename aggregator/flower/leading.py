"""Leading a run over the relay, from beside it: both work on the same link state.

* The relay may be restarted at any moment; what was on its way goes on.
* When this process is killed the run is resumed by name, with the very requests that were sent.
"""

from collections.abc import Callable

from flwr.app import Context, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID

from aggregator.delivery import deliver
from aggregator.exchange import Exchange
from aggregator.federation import Federation
from aggregator.flower.link import RelayRun, link_factory, relay_run
from aggregator.flower.link_grid import LinkGrid
from aggregator.flower.server_app import build
from aggregator.protection.sealing import SealedExchange
from aggregator.runs import conduct
from schemas.audit.events import Facts
from schemas.names import Name

_PAUSE_S = 0.02
"""The relay works on the same processor and the same file: it is not asked all the time."""


def lead(federation: Federation, name: Name, observe: Callable[[Facts], None]) -> None:
    """Conduct a run with the nodes that are connected, to its end, and deliver its model.

    Raises:
        FederationError: as `aggregator.runs.conduct`.
    """

    def conducting(exchange: Exchange, _: Context) -> None:
        sealing = SealedExchange(exchange, federation)
        conduct(federation, name, sealing, observe)
        deliver(federation, name, sealing, observe)

    state = link_factory(federation.home.link).state()
    with relay_run(state) as run:
        app = build(conducting, nodes_may_join=True, shortest_pause_s=_PAUSE_S)
        app(LinkGrid(state, run.run_id), _context(run))


def _context(run: RelayRun) -> Context:
    return Context(
        run_id=run.run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config={},
    )
