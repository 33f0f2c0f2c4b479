"""A node at work: it asks for messages and answers them, until it is told to stop.

* The home is owned while there is work and a moment longer; between runs a person's commands can
  use it. A command that owns it makes a message wait, for a bounded time.
* What was costly to open stays warm from one message to the next.
* Nothing that a relay hands over ends a node, whatever it is.
* A node that is not let in asks again, at growing intervals: approval, a mended clock or a restart
  of the other side needs nobody here.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from hospital_node.flower.client_app import build, place_of
from hospital_node.flower.messages import failure
from hospital_node.flower.relay import POLL_S, Relay, RunOver
from hospital_node.node import Node, opened
from hospital_node.protection.sealing import sealed_answer
from hospital_node.session import answer, unable
from schemas.errors import EnvelopeRefused, FederationError, HomeRefused

IDLE_S = 2.0
"""The home is let go of after this time without a message."""

HOME_WAIT_S = 30.0
"""How long a message waits for a command that owns the home."""

_LONGEST_PAUSE_S = 30.0

_log = logging.getLogger(__name__)


def serve(home: Path, relay: Relay, is_stale: Callable[[], bool]) -> None:
    """Answer messages until the relay's line is told to stop, or was turned away and is stale."""
    pause_s, warm = POLL_S, dict[str, object]()
    while relay.wait(0):
        try:
            relay.connect()
            _log.info("connected")
            while relay.wait():
                _answered(home, relay, warm)
                pause_s = POLL_S
        except EnvelopeRefused as error:
            _log.warning("%s; next: %s", error.message, error.next_step)
            if is_stale():
                return
        except Exception as error:  # noqa: BLE001 - this side's edge: a relay's bytes must not end a node
            place = place_of(error.__traceback__)
            _log.error("message left alone: %s at %s", type(error).__name__, place)
        relay.wait(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _answered(home: Path, relay: Relay, warm: dict[str, object]) -> None:
    """Answer what has come, with the home open from the first message to the last."""
    message = _received(relay)
    if message is None:
        return
    with _owned(home, warm) as node:
        last = time.monotonic()
        while message is not None or time.monotonic() - last < IDLE_S:
            if message is not None:
                _sent(relay, _reply(node, message))
                last = time.monotonic()
            elif not relay.wait():
                return
            message = _received(relay)


def _received(relay: Relay) -> Message | None:
    try:
        return relay.received()
    except RunOver:
        _log.info("a message of a run that is over is left alone")
        return None


def _sent(relay: Relay, reply: Message) -> None:
    try:
        relay.send(reply)
    except RunOver:
        _log.info("a reply came after its run was over; it stays here")


def _reply(node: Node | None, message: Message) -> Message:
    if node is None:
        return failure(message)
    return _client(node)(message, _context(message))


@contextmanager
def _owned(home: Path, warm: dict[str, object]) -> Iterator[Node | None]:
    """Own the home as soon as no command does; None when it took too long, or it is damaged."""
    with ExitStack() as stack:
        node, end = None, time.monotonic() + HOME_WAIT_S
        while node is None and time.monotonic() < end:
            try:
                node = stack.enter_context(opened(home, command="serve"))
                node.warm = warm
            except FederationError as error:
                _log.warning("%s; next: %s", error.message, error.next_step)
                if not isinstance(error, HomeRefused):
                    break
                time.sleep(POLL_S)
        yield node


def _client(node: Node) -> ClientApp:
    return build(
        lambda _: lambda one: sealed_answer(answer, node, one),
        lambda _: lambda one: sealed_answer(unable, node, one),
    )


def _context(message: Message) -> Context:
    return Context(
        run_id=message.metadata.run_id,
        node_id=message.metadata.dst_node_id,
        node_config={},
        state=RecordDict(),
        run_config={},
    )
