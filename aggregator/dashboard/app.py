"""The dashboard's web application: two pages, the written reports, and word of what is new.

* It answers GET and HEAD alone, to whoever shows the token; there is no cookie and no session.
* Each answer, an error too, forbids every script, style, frame and request that is not this
  dashboard's own. An error names no file; the log of this command says where it was.
* Word of what is new comes as server-sent events; a stream ends by itself, and is called again.
"""

import asyncio
import base64
import binascii
import hmac
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.responses import Response

from aggregator.dashboard.live import Live
from aggregator.dashboard.pages import federation_page, run_page
from schemas.errors import FederationError
from schemas.pages.environment import environment

_log = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
_METHODS = ["GET", "HEAD"]
_PAUSE_S = 1.0
_STREAM_S = 600
_QUIET_S = 15
"""After this long without news a comment is sent, so that nobody on the way closes the line."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_UNREADABLE = (
    "A file that this page needs is missing or cannot be read.\n"
    "next: hold the home: aggregator audit verify --home DIR; if it fails, restore a backup"
)
_Next: TypeAlias = Callable[[Request], Awaitable[Response]]


def application(live: Live, *, token: str) -> FastAPI:
    """Return the application over a home; every request must carry the token."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    reading = threading.Lock()

    @app.middleware("http")
    async def guarded(request: Request, following: _Next) -> Response:
        if _is_known(request.headers.get("authorization", ""), token):
            answer = await following(request)
        else:
            answer = PlainTextResponse("The token is needed.\n", status_code=401)
            answer.headers["WWW-Authenticate"] = 'Basic realm="Consilium", charset="UTF-8"'
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    @app.exception_handler(FederationError)
    async def refused(_: Request, error: FederationError) -> PlainTextResponse:
        return _said(f"{error.message}\nnext: {error.next_step}", status=500)

    @app.exception_handler(OSError)
    @app.exception_handler(UnicodeDecodeError)
    async def unreadable(_: Request, error: Exception) -> PlainTextResponse:
        _log.warning("a file of this home cannot be read (%s)", type(error).__name__)
        return _said(_UNREADABLE, status=503)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> PlainTextResponse:
        return _said("This page cannot be made.\nnext: read this command's log", status=500)

    app.include_router(_pages(live, reading))
    app.include_router(_parts(live))
    return app


def _pages(live: Live, reading: threading.Lock) -> APIRouter:
    """Route what people look at; one page is made at a time."""
    router = APIRouter()

    @router.api_route("/", methods=_METHODS)
    def federation() -> HTMLResponse:
        with reading:
            return HTMLResponse(federation_page(live))

    @router.api_route("/runs/{run}", methods=_METHODS)
    def of_run(run: str) -> Response:
        with reading:
            page = run_page(live, run)
        return _missing() if page is None else HTMLResponse(page)

    @router.api_route("/reports/{run}", methods=_METHODS)
    def report(run: str) -> Response:
        with reading:
            live.tail.grow()
            known = {getattr(one.facts, "run", "") for one in live.tail.events} - {""}
        path = live.report(run) if run in known else None
        if path is None:
            return _missing()
        headers = {"Content-Security-Policy": _REPORT_POLICY}
        return HTMLResponse(path.read_bytes(), headers=headers)

    return router


def _parts(live: Live) -> APIRouter:
    """Route what pages are made of, and the news."""
    router = APIRouter()

    @router.api_route("/style.css", methods=_METHODS)
    def style() -> PlainTextResponse:
        shared = environment("aggregator.dashboard").get_template("page.css")
        sheets = shared.render(), (_STATIC / "dashboard.css").read_text(encoding="utf-8")
        return PlainTextResponse("\n".join(sheets), media_type="text/css")

    @router.api_route("/live.js", methods=_METHODS)
    def script() -> PlainTextResponse:
        return PlainTextResponse((_STATIC / "live.js").read_bytes(), media_type="text/javascript")

    @router.get("/news")
    async def news() -> StreamingResponse:
        return StreamingResponse(_news(live), media_type="text/event-stream")

    return router


async def _news(live: Live) -> AsyncIterator[str]:
    """Tell each time that there is something new to show."""
    seen, quiet = live.marks(), 0.0
    yield "retry: 2000\n\n"
    for _ in range(round(_STREAM_S / _PAUSE_S)):
        await asyncio.sleep(_PAUSE_S)
        marks = live.marks()
        quiet += _PAUSE_S
        if marks != seen:
            seen, quiet = marks, 0.0
            yield "data: new\n\n"
        elif quiet >= _QUIET_S:
            quiet = 0.0
            yield ": nothing new\n\n"


def _is_known(authorization: str, token: str) -> bool:
    """Say whether the token is shown: as a bearer, or as the password of any name (RFC 7617)."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value.encode(), token.encode())


def _missing() -> PlainTextResponse:
    return _said("There is nothing of this name.", status=404)


def _said(text: str, *, status: int) -> PlainTextResponse:
    """Return an error with all headers; one that nobody foresaw passes no middleware."""
    return PlainTextResponse(f"{text}\n", status_code=status, headers=_HEADERS)
