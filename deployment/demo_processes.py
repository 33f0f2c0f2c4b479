"""A demo's run with every party as a process, over TLS on loopback.

The relay and the run are needed to the end; a node may fail, as a hospital's may: the round closes
without it where the plan's quorum holds.
"""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from deployment.processes import attending
from schemas.errors import PeerRefused
from schemas.names import Address

STARTING_S = 300.0
"""All nodes are connected within this time; loading torch takes seconds each."""

_LONGEST_RUN_S = 7 * 86400.0
"""Each of a run's steps has the plan's deadline; this is for one that is stuck."""


def free_address() -> Address:
    """Return an address on this machine that nothing listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def led(plan: Path, aggregator: Path, nodes: Sequence[Path], say: Callable[[str], None]) -> None:
    """Serve, let every node connect, and lead a run of the plan to its end.

    Raises:
        PeerRefused: the relay or the run ended before its time.
    """
    from aggregator.flower.link import connected  # noqa: PLC0415 (takes a second to load)

    with attending(plan.parent / "logs", say) as processes:
        processes.start("serve", "aggregator", "serve", "--home", aggregator)
        for home in nodes:
            processes.start(home.name, "hospital-node", "serve", "--home", home)
        sites = [home.name for home in nodes]
        processes.until(
            lambda: connected(aggregator / "link") >= {*sites},
            needed=["serve", *sites],
            within_s=STARTING_S,
        )
        say(f"Connected: {', '.join(sites)}")
        run = processes.start("run", "aggregator", "run", plan, "--home", aggregator)
        processes.until(processes.followed("run"), needed=["serve"], within_s=_LONGEST_RUN_S)
    if run.returncode not in {0, PeerRefused.exit_status}:
        message = f"demo refused: the run ended with status {run.returncode}"
        raise PeerRefused(message, next_step="mend what it says above")
