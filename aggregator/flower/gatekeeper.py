"""What stands before the fleet's endpoints: it turns away what is elsewhere, too often, too large.

* Nothing is read or computed for a path that no node calls.
* A request body is capped before it is read, and each address has a number of requests per second.
* Every answer is counted at the relay's door, under the address that the call counts under.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.responses import Response

from aggregator.caller import caller
from aggregator.door import Door

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

_MAX_ADDRESSES = 10_000

_Scope: TypeAlias = MutableMapping[str, Any]
_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]


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
    proxy: str | None = None
    """A reverse proxy that is believed when it says whose call it brings."""
    rate: Rate = field(default_factory=Rate)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Let a request through, or answer 404, 429 or 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = caller(scope, proxy=self.proxy)

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
