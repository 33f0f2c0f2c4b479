"""Serving a web application at one address until a signal to end comes.

* Whose call it is, is the address at the other end: no header of a proxy is believed here.
* What there is to log goes where the process sends its lines, within its limit.
"""

import asyncio
from pathlib import Path

import uvicorn
from fastapi import FastAPI

_IDLE_S = 30
"""How long a connection may stay open and ask nothing."""


def serve(
    app: FastAPI, *, listen: str, tls: tuple[Path, Path] | None, most_connections: int
) -> None:
    """Answer at an address; `tls` is certificate and key, None: plain HTTP, for loopback."""
    made = server(app, listen=listen, tls=tls, most_connections=most_connections)
    asyncio.run(made.serve())


def server(
    app: FastAPI, *, listen: str, tls: tuple[Path, Path] | None, most_connections: int
) -> uvicorn.Server:
    """Return a server that is not started."""
    host, _, port = listen.rpartition(":")
    certificate, key = (None, None) if tls is None else (str(tls[0]), str(tls[1]))
    config = uvicorn.Config(
        app,
        host=host,
        port=int(port),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        log_config=None,
        limit_concurrency=most_connections,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
