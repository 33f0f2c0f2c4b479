"""The ServerApp: what Flower calls at the aggregator."""

from collections.abc import Callable
from typing import TypeAlias

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from aggregator.exchange import Exchange
from aggregator.flower.grid import GridExchange

Conduct: TypeAlias = Callable[[Exchange, Context], None]
"""What leads a run, given the way to the sites."""


def build(
    conduct: Conduct, *, nodes_may_join: bool = False, shortest_pause_s: float = 0.001
) -> ServerApp:
    """Make the ServerApp that leads one run; what `conduct` raises reaches its caller unchanged.

    `nodes_may_join`: a site without a node is waited for, since its node may still connect.
    `shortest_pause_s`: between two looks for replies.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        exchange = GridExchange(
            grid, nodes_may_join=nodes_may_join, shortest_pause_s=shortest_pause_s
        )
        conduct(exchange, context)

    return app
