"""Run one ServerApp with its ClientApps in this process.

* Flower keeps the identity of the running app in the process, so one federation at a time runs
  here; the identity is put back as it was afterwards.
* What the ServerApp raises reaches the caller unchanged, after every node has ended what it began.
"""

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.serverapp import ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from deployment.embedded.carriers import Carrier, copied
from deployment.embedded.grid import EmbeddedGrid
from schemas.names import SiteName

_RUN_ID = 1
_TASK_ID = 1
_TURN_S = 0.001
_FLOWER_LOG = "flwr"

_one_at_a_time = threading.Lock()


def run(
    server_app: ServerApp,
    clients: Mapping[SiteName, ClientApp],
    *,
    workers: int,
    carrier: Carrier = copied,
) -> None:
    """Lead one run to its end; at most `workers` nodes work at a time.

    RuntimeError when an embedded federation already runs in this process. An interrupt stops the
    ServerApp at once; nodes that are at work end what they began, and nothing more begins.
    """
    if not _one_at_a_time.acquire(blocking=False):
        message = "embedded run refused: another one runs in this process, one at a time is allowed"
        raise RuntimeError(message)
    try:
        logging.getLogger(_FLOWER_LOG).setLevel(logging.WARNING)
        made = Run.create_empty(_RUN_ID)
        grid = EmbeddedGrid(clients, run=made, workers=workers, carrier=carrier)
        with _identity(), _short_turns(), closing(grid):
            server_app(grid, _server_context())
    finally:
        _one_at_a_time.release()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads take shorter turns: the aggregator's small steps wait less behind training."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _identity() -> Iterator[None]:
    """Be the aggregator in Flower's eyes: its messages carry this identity."""
    names = ("_run_id", "_node_id", "_task_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    TaskIdentity.run_id, TaskIdentity.node_id = _RUN_ID, SUPERLINK_NODE_ID
    TaskIdentity.task_id = _TASK_ID
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)


def _server_context() -> Context:
    return Context(
        run_id=_RUN_ID,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config={},
    )
