"""The relay's public face: Flower's fleet endpoints over TLS, and nothing else.

* Control and runtime endpoints are not mounted at all, on no address: who may run what is decided
  by files on this machine.
* A node is let in by the signature of a key in the roster, and may speak for itself alone.
* Whoever is turned away is counted for the relay's journal.
* A request body is capped before it is read, and each address has a number of requests per second.
"""

import sys
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest
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
from aggregator.flower.link import came_back
from aggregator.flower.scope import Scope

PATHS = frozenset(
    f"/v1/fleet/{name}"
    for name in (
        "activate-node",
        "confirm-message-received",
        "deactivate-node",
        "pull-messages",
        "pull-object",
        "push-messages",
        "push-object",
        "send-node-heartbeat",
    )
)
"""All that answers. A node neither registers itself nor asks for a bundle."""

MAX_BODY_BYTES = 8 * 2**20
"""Flower sends arrays in chunks of 5 MiB; the rest is for what stands around one."""

REQUESTS_PER_S = 200.0
"""What one address may send in the long run; sites behind one proxy share an address."""

BURST = 1000.0
"""What one address may send at once."""

THREADS = 1
"""Calls that work on the file at a time."""

TURN_S = 0.0005
"""How long the thread that does so keeps the interpreter from the one that talks to the nodes."""

_MAX_ADDRESSES = 10_000

_Scope: TypeAlias = MutableMapping[str, Any]
_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]


def fleet(factory: LinkStateFactory, door: Door) -> FastAPI:
    """Make the application that nodes reach; whom it turns away is counted at `door`."""
    made = FastAPI(
        lifespan=_working,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[
            Middleware(Gatekeeper, door=door),
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
    again what it had not answered. One that asks for a message is held until there may be one.
    """
    found = getattr(request.state, "protobuf_request", None)
    state, scope = get_linkstate(request), request.app.state.scope
    if await run_in_threadpool(scope.exceeds, state, found):
        raise HTTPException(409, "the message or object is another node's")
    arrivals = request.app.state.arrivals
    if isinstance(found, ActivateNodeRequest):
        node = await run_in_threadpool(state.get_node_id_by_public_key, found.public_key)
        if node is not None:
            arrivals.called(node)
            await run_in_threadpool(came_back, state, node)
    if isinstance(found, PullMessagesRequest) and not await arrivals.wait(found.node.node_id):
        raise HTTPException(503, "the node has asked again")
    try:
        return await go_on(request)
    except KeyError:  # a run that a restored file does not have; Flower looks it up in a dict
        raise HTTPException(403, "the relay knows no such run") from None


@dataclass(slots=True)
class Rate:
    """How many requests each address has left."""

    left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    """Requests left and the time of the last one, by address; the longest silent first."""

    def takes(self, address: str, *, now: float) -> bool:
        """Take one request of an address, if it has one left; `now` is in seconds."""
        left, last = self.left.pop(address, (BURST, now))
        left = min(BURST, left + (now - last) * REQUESTS_PER_S)
        self.left[address] = (max(left - 1, 0.0), now)
        if len(self.left) > _MAX_ADDRESSES:
            self.left.popitem(last=False)
        return left >= 1


@dataclass(slots=True)
class Gatekeeper:
    """Refuse what is elsewhere, too often or too large, before anything is read or computed."""

    app: Callable[[_Scope, _Receive, _Send], Awaitable[None]]
    door: Door
    rate: Rate = field(default_factory=Rate)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Let a request through, or answer 404, 429 or 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = str((scope.get("client") or ("",))[0])

        async def counted(message: _Message) -> None:
            if message["type"] == "http.response.start":
                self.door.answered(message["status"], address)
            await send(message)

        await self._answered(scope, receive, counted, address)

    async def _answered(self, scope: _Scope, receive: _Receive, send: _Send, address: str) -> None:
        if scope["path"] not in PATHS or scope["method"] != "POST":
            await Response(status_code=404)(scope, receive, send)
            return
        if not self.rate.takes(address, now=time.monotonic()):
            await Response("too many requests", status_code=429)(scope, receive, send)
            return
        body = await _capped(scope, receive)
        if body is None:
            await Response("the body is too large", status_code=413)(scope, receive, send)
            return
        parts = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> _Message:
            return next(parts, None) or await receive()

        await self.app(scope, again, send)


async def _capped(scope: _Scope, receive: _Receive) -> bytes | None:
    """Return a request's body; None when it is declared, or found, to be too large."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)
