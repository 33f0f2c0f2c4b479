"""A request's body: how much of it is read, of whom, and for how long.

* It is capped before it is read, and again while it is.
* More than a little is read of no one but whom the roster names: a signature goes before it.
* It has to come on at a least pace; one that stalls ends, and what was read of it is let go.
"""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from fastapi import HTTPException
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.superlink.dependencies.linkstate import get_linkstate
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

MAX_BODY_BYTES = 8 * 2**20
"""Flower sends arrays in chunks of 5 MiB; the rest is for what stands around one."""

LITTLE_BYTES = 64 * 2**10
"""Of anybody; what nodes send without arrays is smaller."""

PATIENCE_S = 20.0
"""How long a body may take, however small."""

LEAST_BYTES_PER_S = 32 * 2**10
"""For what goes beyond; a line of a quarter of a megabit per second is enough."""

_DIGITS = 9

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


async def read_body(
    scope: Scope,
    receive: Receive,
    *,
    is_known: Callable[[Scope], Awaitable[bool]],
    patience_s: float = PATIENCE_S,
) -> bytes:
    """Return a request's body; `is_known` says whether a node of the roster signed the call.

    Raises:
        HTTPException: 401, 408 or 413.
        ClientDisconnect: the caller went away.
    """
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if len(declared) > _DIGITS or not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        raise HTTPException(413, "the body is too large")
    loop, body, known = asyncio.get_running_loop(), bytearray(), False
    begun = loop.time()
    try:
        async with asyncio.timeout_at(begun + patience_s) as end:
            while True:
                if not known and max(int(declared), len(body)) > LITTLE_BYTES:
                    known = await is_known(scope)
                    if not known:
                        raise HTTPException(401, "the call is not signed by a node")
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413, "the body is too large")
                if not message.get("more_body", False):
                    return bytes(body)
                end.reschedule(begun + patience_s + len(body) / LEAST_BYTES_PER_S)
    except TimeoutError:
        raise HTTPException(408, "the body came too slowly") from None


async def is_signed(scope: Scope) -> bool:
    """Say whether a node of the roster signed a call just now, whatever the body may be."""
    return await run_in_threadpool(_is_signed, Request({**scope, "state": {}}))


def _is_signed(request: Request) -> bool:
    try:
        key = b64decode(request.headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER, ""), validate=True)
    except ValueError:
        return False
    if get_linkstate(request).get_node_id_by_public_key(key) is None:
        return False
    # Flower holds a key against the body; this one says what the header says.
    request.state.protobuf_request = ActivateNodeRequest(public_key=key)
    try:
        authenticate_node(request)
    except HTTPException:
        return False
    return True
