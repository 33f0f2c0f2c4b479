"""What stands before the fleet's endpoints: it turns away what is elsewhere, too often, too large.

* Nothing is read or computed for a path that no node calls.
* Each address has a number of requests per second.
* A request body is read as far as its size, its pace and the caller's signature allow.
* Every answer is counted at the relay's door, under the address that the call counts under.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from aggregator.caller import caller
from aggregator.door import Door
from aggregator.flower.body import (
    PATIENCE_S,
    Message,
    Receive,
    Scope,
    Send,
    is_signed,
    read_body,
)

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

REQUESTS_PER_S = 200.0
"""What one address may send in the long run; sites behind one proxy share an address."""

BURST = 1000.0
"""What one address may send at once."""

_MAX_ADDRESSES = 10_000
_STALLED = {408}
"""The line is closed with the answer: the rest of the body would never come."""


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
    """Refuse what is elsewhere, too often, too large or too slow, before anything is computed."""

    app: Callable[[Scope, Receive, Send], Awaitable[None]]
    door: Door
    proxy: str | None = None
    """A reverse proxy that is believed when it says whose call it brings."""
    rate: Rate = field(default_factory=Rate)
    patience_s: float = PATIENCE_S
    """How long a small body may take."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 401, 404, 408, 413 or 429."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = caller(scope, proxy=self.proxy)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.door.answered(message["status"], address)
            await send(message)

        await self._answered(scope, receive, counted, address)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, address: str) -> None:
        if scope["path"] not in PATHS or scope["method"] != "POST":
            await Response(status_code=404)(scope, receive, send)
            return
        if not self.rate.takes(address, now=time.monotonic()):
            await Response("too many requests", status_code=429)(scope, receive, send)
            return
        patience_s = self.patience_s
        try:
            body = await read_body(scope, receive, is_known=is_signed, patience_s=patience_s)
        except HTTPException as refused:
            headers = {"connection": "close"} if refused.status_code in _STALLED else None
            answer = Response(refused.detail, refused.status_code, headers)
            await answer(scope, receive, send)
            return
        except ClientDisconnect:
            return
        parts = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Message:
            return next(parts, None) or await receive()

        await self.app(scope, again, send)
