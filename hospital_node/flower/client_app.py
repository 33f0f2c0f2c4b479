"""The ClientApp: what Flower calls at a node, and the only place here that catches every exception.

* One request, one reply; the work itself is `answer`'s, and keeps no state in Flower's context.
* A request that is not of this federation gets Flower's error reply: nobody is owed more.
* Any other exception that gets this far becomes the node's signed refusal, or, where even that
  fails, Flower's error reply; neither has its type, text or values. The node's own log gets the
  type and the line of code, never the text: a library may have put a patient's value there.
"""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from hospital_node.flower.messages import failure, packet_of, reply
from schemas.errors import EnvelopeRefused
from schemas.wire.packet import Packet

AnswerOf: TypeAlias = Callable[[Context], Callable[[Packet], Packet]]
"""Given Flower's context of this node, how it answers a packet."""

_log = logging.getLogger(__name__)


def build(answer_of: AnswerOf, unable_of: AnswerOf) -> ClientApp:
    """Make the ClientApp that answers requests, and takes in releases, by `answer_of(context)`.

    `unable_of(context)` gives the answer to a packet whose work raised what nobody foresaw.
    """
    app = ClientApp()

    @app.train()
    @app.evaluate()
    @app.query()
    def answered(request: Message, context: Context) -> Message:
        for answering in (answer_of, unable_of):
            try:
                return reply(request, answering(context)(packet_of(request)))
            except EnvelopeRefused as error:
                _log.warning("%s", error.message)
                return failure(request)
            except Exception as error:  # noqa: BLE001 - this side's edge: nothing of it may leave
                place = place_of(error.__traceback__)
                _log.error("request failed: %s at %s", type(error).__name__, place)
        return failure(request)

    return app


def place_of(traceback: TracebackType | None) -> str:
    """Name the line of code that raised."""
    place = "an unknown line"
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "unknown")
        place = f"{module}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
