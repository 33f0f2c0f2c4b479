"""The relay's public face: Flower's fleet endpoints over TLS, and nothing else.

* Control and runtime endpoints are not mounted at all, on no address: who may run what is decided
  by files on this machine.
* A node is let in by the signature of a key in the roster, and may speak for itself alone.
* Whoever is turned away is counted for the relay's journal.
* What is elsewhere, too often or too large ends at the gatekeeper, before it is read.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, PullMessagesRequest
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.error import http_error_translator
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.dependencies.linkstate import get_linkstate
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from flwr.superlink.routers.fleet.router import router as fleet_router
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request

from aggregator.door import Door
from aggregator.flower.arrivals import Arrivals
from aggregator.flower.gatekeeper import Gatekeeper
from aggregator.flower.link import came_back
from aggregator.flower.scope import Scope

THREADS = 1
"""Calls that work on the file at a time."""

TURN_S = 0.0005
"""How long the thread that does so keeps the interpreter from the one that talks to the nodes."""


def fleet(factory: LinkStateFactory, door: Door, *, proxy: str | None = None) -> FastAPI:
    """Make the application that nodes reach; whom it turns away is counted at `door`.

    `proxy` is the address of a reverse proxy that is believed when it says whose call it brings.
    """
    made = FastAPI(
        lifespan=_working,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[
            Middleware(Gatekeeper, door=door, proxy=proxy),
            Middleware(BaseHTTPMiddleware, dispatch=http_error_translator),
            Middleware(ProtobufTranslationMiddleware),
            Middleware(NodeAuthMiddleware),
            Middleware(BaseHTTPMiddleware, dispatch=_own_words),
        ],
    )
    made.state.linkstate_factory = factory
    made.state.enable_supernode_auth = True
    made.state.scope = Scope()
    made.state.arrivals = Arrivals(factory.state(), Path(factory.database))
    made.include_router(fleet_router)
    return made


@asynccontextmanager
async def _working(app: FastAPI) -> AsyncIterator[None]:
    """Let few calls at a time work on the file, and let go of it at the end.

    SQLite has one writer. Flower writes in nearly every call, and those that find the file locked
    sleep for up to 0.1 s before they look again; a queue in front of it wastes nothing.
    """
    current_default_thread_limiter().total_tokens = THREADS
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    with closing(app.state.arrivals):
        yield
    sys.setswitchinterval(before)


async def _own_words(request: Request, go_on: RequestResponseEndpoint) -> Response:
    """Refuse what is in another node's name, or not its own; Flower signs a timestamp only.

    A node that comes back before the relay noticed that it was gone is let in at once, and gets
    again what it had not answered; one that names no interval asks only whether it would be. One
    that asks for a message is held until there may be one.
    """
    found = getattr(request.state, "protobuf_request", None)
    state, scope = get_linkstate(request), request.app.state.scope
    if await run_in_threadpool(scope.exceeds, state, found):
        raise HTTPException(409, "the message or object is another node's")
    arrivals = request.app.state.arrivals
    if isinstance(found, ActivateNodeRequest):
        node = await run_in_threadpool(state.get_node_id_by_public_key, found.public_key)
        if node is not None and not found.heartbeat_interval:
            request.state.protobuf_response = ActivateNodeResponse()
            return Response()
        if node is not None:
            arrivals.called(node)
            await run_in_threadpool(came_back, state, node)
    if isinstance(found, PullMessagesRequest) and not await arrivals.wait(found.node.node_id):
        raise HTTPException(503, "the node has asked again")
    try:
        return await go_on(request)
    except KeyError:  # a run that a restored file does not have; Flower looks it up in a dict
        raise HTTPException(403, "the relay knows no such run") from None
