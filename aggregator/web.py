"""Serving a web application at one address until a signal to end comes.

* Whose call it is, is the address at the other end: no header of a proxy is believed here.
* How many lines are open, of whom and for how long, is counted by `Lines`; one call's bytes are
  bounded here, and its time by the application.
* What there is to log goes where the process sends its lines, within its limit.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aggregator.lines import Lines

HEAD_BYTES = 64 * 2**10
"""Of a call's first line and headers."""

CALL_BYTES = 10 * 2**20
"""Of a call altogether, also where its body is refused and nobody reads it."""

_IDLE_S = 30
"""How long a connection may stay open and ask nothing."""
_LEAST_REFUSAL = 400

_Scope: TypeAlias = MutableMapping[str, Any]
_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]


def serve(
    app: FastAPI, sockets: list[socket.socket], *, tls: tuple[Path, Path] | None, lines: Lines
) -> None:
    """Answer at sockets; `tls` is certificate and key, None: plain HTTP, for loopback."""
    asyncio.run(server(app, tls=tls, lines=lines).serve(sockets))


def server(app: FastAPI, *, tls: tuple[Path, Path] | None, lines: Lines) -> uvicorn.Server:
    """Return a server that is not started."""
    certificate, key = (None, None) if tls is None else (str(tls[0]), str(tls[1]))
    config = uvicorn.Config(
        _noted(app, lines),
        loop="asyncio",
        http=_Bounded,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        log_config=None,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def _noted(app: FastAPI, lines: Lines) -> Callable[[_Scope, _Receive, _Send], Awaitable[None]]:
    """Tell the lines when a call begins and ends."""

    async def noted(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        peer = scope.get("client")

        async def seen(message: _Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _LEAST_REFUSAL:
                lines.let_in(peer)
            await send(message)

        lines.asked(peer)
        try:
            await app(scope, receive, seen)
        finally:
            lines.answered(peer)

    return noted


class _Bounded(HttpToolsProtocol):
    """HTTP on one line, as the library reads it; its parser takes a head of any length."""

    _taken = 0
    _is_head = True

    def data_received(self, data: bytes) -> None:
        """Read on, while the call is not longer than a call may be."""
        self._taken += len(data)
        super().data_received(data)
        if self._taken > (HEAD_BYTES if self._is_head else CALL_BYTES):
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin a call."""
        self._taken, self._is_head = 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the call to the application."""
        self._is_head = False
        super().on_headers_complete()
