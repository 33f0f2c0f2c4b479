"""A session to a DICOMweb archive in which nothing waits or grows without a bound.

* The certificate is verified, by the hospital's own authority where node.toml names one. A redirect
  is refused: the token goes to the named service only. No proxy or password is taken from the
  environment.
* An answer has a greatest size and a longest time, so that one that drips ends too.
* What the library says of an error quotes addresses with identifiers in them; it is never repeated.
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from hospital_node.cohort.sources.inbox import MAX_OBJECT_BYTES
from hospital_node.cohort.sources.settings import DicomWeb
from schemas.errors import ArchiveRefused, HomeRefused

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["answering", "multipart", "session"]

_MAX_ANSWER_BYTES = MAX_OBJECT_BYTES + 2**20
_MAX_PART_HEADER_BYTES = 2**16
_SECRET = re.compile(r"[\x21-\x7e]{1,8192}")
_FORBIDDEN = (401, 403)

for _name in ("dicomweb_client", "urllib3"):
    # Their lines quote addresses.
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


def session(settings: DicomWeb, secret: bytes | None) -> requests.Session:
    """Return a session that carries the archive's token.

    Raises:
        HomeRefused: the secret is no token, or no name and password.
    """
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = 0
    made.verify = settings.authority or True
    adapter = _Guarding(settings)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    if settings.authorization != "none":
        text = (secret or b"").strip().decode("ascii", errors="replace")
        name, _, password = text.partition(":")
        is_basic = settings.authorization == "basic"
        if not _SECRET.fullmatch(text) or (is_basic and not (name and password)):
            wanted = "NAME:PASSWORD" if is_basic else "a token"
            message = f"key refused: dicomweb does not hold {wanted} in printable ASCII on one line"
            raise HomeRefused(message, next_step="write it to keys/dicomweb, mode 0600")
        if is_basic:
            made.auth = (name, password)
        else:
            made.headers["Authorization"] = f"Bearer {text}"
    return made


class _Guarding(HTTPAdapter):
    """Puts a bound on the size and the time of every answer."""

    def __init__(self, settings: DicomWeb) -> None:
        super().__init__(max_retries=0)
        self._settings = settings

    def send(
        self,
        request: requests.PreparedRequest,
        *args: Any,  # noqa: ANN401 - as requests has it
        **kwargs: Any,  # noqa: ANN401
    ) -> requests.Response:
        kwargs["timeout"] = self._settings.timeout_s
        response = super().send(request, *args, **kwargs)
        response.raw = _Bounded(response.raw, end=monotonic() + self._settings.stall_s)
        return response


class _Bounded:
    """A raw answer that breaks off when it is too long or too slow."""

    def __init__(self, raw: "BaseHTTPResponse", *, end: float) -> None:
        self._raw, self._end = raw, end

    def stream(self, amount: int, *, decode_content: bool) -> Iterator[bytes]:
        """Yield the answer's bytes."""
        size = 0
        # One that drips never fills what the library waits for: the clock has to end it.
        clock = threading.Timer(max(0.0, self._end - monotonic()), self._cut)
        clock.daemon = True
        clock.start()
        try:
            for part in self._raw.stream(amount, decode_content=decode_content):
                size += len(part)
                self._refuse_over(size)
                yield part
            self._refuse_over(size)
        finally:
            clock.cancel()

    def _refuse_over(self, size: int) -> None:
        if size > _MAX_ANSWER_BYTES or monotonic() > self._end:
            message = "an answer over the limit"
            raise requests.exceptions.ReadTimeout(message)

    def _cut(self) -> None:
        with suppress(OSError, RuntimeError, ValueError):  # it came to its end by itself
            self._raw.shutdown()

    def __getattr__(self, name: str) -> object:
        return getattr(self._raw, name)


@contextmanager
def answering() -> Iterator[None]:
    """Say what failed in our own words.

    Raises:
        ArchiveRefused: no connection, another certificate, a refusal, or no answer in time.
    """
    try:
        yield
    except requests.exceptions.JSONDecodeError:
        found, next_step = ("an answer that is not DICOM JSON", "check url in node.toml")
    except requests.exceptions.SSLError:
        found, next_step = (
            "its certificate is of another name or authority",
            "check url and authority in node.toml; find out who answers there before you go on",
        )
    except requests.exceptions.TooManyRedirects:
        found, next_step = (
            "it sends this node elsewhere, and the token may go to the named service only",
            "check url in node.toml",
        )
    except requests.exceptions.HTTPError as error:
        found, next_step = _status(error.response.status_code if error.response is not None else 0)
    except requests.exceptions.RequestException:
        found = "no connection, or an answer that broke off or was too slow"
        next_step = (
            "check url in node.toml and that the archive is up; then run the command again, it "
            "goes on from here"
        )
    except (AttributeError, TypeError, ValueError):  # JSON of another form
        found, next_step = ("an answer that is not DICOM JSON", "check url in node.toml")
    else:
        return
    raise ArchiveRefused(f"archive refused: {found}", next_step=next_step)


def _status(code: int) -> tuple[str, str]:
    if code in _FORBIDDEN:
        return (
            f"it refuses this node's token (status {code})",
            "put a valid one into keys/dicomweb, and check authorization in node.toml",
        )
    return (f"it answers with status {code}", "ask the archive's administrator what it means there")


def multipart(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes of the first part of a multipart answer (RFC 2046 section 5.1).

    Raises:
        ArchiveRefused: it is cut off, or of another form; never as an OSError, which is the disk's.
    """
    with answering():
        yield from _first_part(response)


def _first_part(response: requests.Response) -> Iterator[bytes]:
    boundary = _boundary(response.headers)
    chunks = response.iter_content(2**16)
    if boundary is None:
        yield from chunks
        return
    delimiter, held = b"\r\n--" + boundary, b"\r\n"
    start = -1
    for chunk in chunks:
        held += chunk
        if start < 0:
            start = _start(held, delimiter)
            if start < 0:
                continue
            held = held[start:]
        end = held.find(delimiter)
        if end >= 0:
            yield held[:end]
            return
        yield held[: -len(delimiter)]
        held = held[-len(delimiter) :]
    message = "cut off"
    raise requests.exceptions.ChunkedEncodingError(message)


def _start(held: bytes, delimiter: bytes) -> int:
    """Return where the first part's content begins; -1: not yet here."""
    opened = held.find(delimiter)
    start = held.find(b"\r\n\r\n", opened) + 4 if opened >= 0 else 3
    if start <= 3 and len(held) > _MAX_PART_HEADER_BYTES:  # noqa: PLR2004 - -1 + 4: not found
        message = "no part"
        raise requests.exceptions.ChunkedEncodingError(message)
    return start if start > 3 else -1  # noqa: PLR2004


def _boundary(headers: Mapping[str, str]) -> bytes | None:
    kind = headers.get("Content-Type", "")
    if kind.lower().startswith("application/dicom"):
        return None
    found = re.search(r'boundary="?([^";,\s]{1,70})"?', kind, re.IGNORECASE)
    if not kind.lower().startswith("multipart/related") or found is None:
        message = "another form"
        raise requests.exceptions.ChunkedEncodingError(message)
    return found.group(1).encode("latin-1")
