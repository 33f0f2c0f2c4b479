"""Health and figures of a process that serves, on loopback alone, for whoever watches over it.

* `/health` answers 200 while all is well and 503 with the reason when it is not; `/metrics` has the
  figures of that moment in Prometheus's text format.
* The figures are of the software. A count of patients or images, the time that training took, and
  the name of a file or a person have no place among them: other systems copy and keep them.
"""

import ipaddress
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.errors import HomeRefused, InputRefused

_EXAMPLE = "127.0.0.1:9650"

Labelled: TypeAlias = Mapping[tuple[str, ...], float]
"""A value for each combination of labels."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a process tells of itself, each time that it is asked."""

    figures: Callable[[], Iterable[Metric]]
    fault: Callable[[], str]
    """Empty while all is well."""


def gauge(name: str, meaning: str, value: float) -> Metric:
    """Make a figure that goes up and down."""
    return GaugeMetricFamily(f"consilium_{name}", meaning, value=value)


def gauges(name: str, meaning: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    """Make a figure with labels that goes up and down."""
    made = GaugeMetricFamily(f"consilium_{name}", meaning, labels=labels)
    for key, value in sorted(values.items()):
        made.add_metric(key, value)
    return made


def counters(name: str, meaning: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    """Make a figure with labels that only grows while the process lives; its name gets `_total`."""
    made = CounterMetricFamily(f"consilium_{name}", meaning, labels=labels)
    for key, value in sorted(values.items()):
        made.add_metric(key, value)
    return made


@contextmanager
def monitored(listen: str, watched: Watched) -> Iterator[None]:
    """Answer at an address for as long as this lasts; nowhere if the address is empty.

    Raises:
        InputRefused: not an address of loopback.
        HomeRefused: something else listens there.
    """
    with _server(listen, watched) if listen else nullcontext():
        yield


@contextmanager
def _server(listen: str, watched: Watched) -> Iterator[None]:
    place = _place(listen)
    try:
        server = _Server(place, _Quiet)
    except OSError:
        message = f"metrics refused: nothing can listen at {listen}"
        raise HomeRefused(message, next_step="choose another port") from None
    server.set_app(_application(watched))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.IPv4Address("127.0.0.1" if host == "localhost" else host)
        number = int(port)
    except ValueError:
        message = "metrics refused: --metrics takes an IPv4 address of loopback, and a port"
        raise InputRefused(message, next_step=f"for example: --metrics {_EXAMPLE}") from None
    if not address.is_loopback or not 0 < number < 2**16:
        message = (
            f"metrics refused: {listen} is not on loopback; there is neither TLS nor a password"
        )
        next_step = f"let a collector on this machine read them, for example at {_EXAMPLE}"
        raise InputRefused(message, next_step=next_step)
    return str(address), number


def _application(watched: Watched) -> Callable[..., Iterable[bytes]]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(watched))

    def answered(environ: Mapping[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        status, kind, content = "404 Not Found", "text/plain; charset=utf-8", b""
        if environ["REQUEST_METHOD"] != "GET":
            status = "405 Method Not Allowed"
        elif environ["PATH_INFO"] == "/metrics":
            status, kind, content = "200 OK", CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)
        elif environ["PATH_INFO"] == "/health":
            fault = watched.fault()
            status = "503 Service Unavailable" if fault else "200 OK"
            content = f"{fault or 'ok'}\n".encode()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(content)))])
        return [content]

    return answered


@dataclass(frozen=True, slots=True)
class _Figures(Collector):
    watched: Watched

    def collect(self) -> Iterable[Metric]:
        """Return the figures of this moment."""
        is_well = float(not self.watched.fault())
        yield gauge("healthy", "1 while /health answers 200.", is_well)
        yield from self.watched.figures()


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each call in a thread of its own."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, without the look-up of this machine's name that the library makes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    """Writes no line for each call, and waits for none longer than this, in seconds."""

    timeout = 10

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def disk_free(home: Path) -> Metric:
    """Return how much room is left where a home stands."""
    return gauge("disk_free_bytes", "Room left where the home is.", shutil.disk_usage(home).free)
