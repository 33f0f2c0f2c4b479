"""Serving the dashboard until a signal to end comes."""

import asyncio
from pathlib import Path

import uvicorn
from fastapi import FastAPI

_MOST_CONNECTIONS = 64


def serve(app: FastAPI, *, listen: str, tls: tuple[Path, Path] | None) -> None:
    """Answer at an address; `tls` is certificate and key, None: plain HTTP, for loopback."""
    asyncio.run(server(app, listen=listen, tls=tls).serve())


def server(app: FastAPI, *, listen: str, tls: tuple[Path, Path] | None) -> uvicorn.Server:
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
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
