"""Health and figures are told on loopback, to whoever asks for them, and nothing else is."""

import socket
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import Metric

from schemas.errors import HomeRefused, InputRefused
from schemas.monitoring import Watched, counters, gauge, gauges, monitored


def free_address() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def watched(*faults: str) -> Watched:
    """Tell two figures, and these faults, the last one ever after."""
    left = list(faults)

    def figures() -> Iterator[Metric]:
        yield gauges("node", "A node.", ("site",), {("west",): 0, ("east",): 1})
        yield counters("calls", "Calls.", ("status",), {("200",): 3})
        yield gauge("serial", "A serial.", 7)

    return Watched(figures, lambda: left.pop(0) if len(left) > 1 else left[0])


def test_the_figures_are_in_the_text_format_and_in_order() -> None:
    address = free_address()
    with monitored(address, watched("")):
        answer = httpx.get(f"http://{address}/metrics", trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [one for one in answer.text.splitlines() if not one.startswith("#")]
    assert lines == [
        "consilium_healthy 1.0",
        'consilium_node{site="east"} 1.0',
        'consilium_node{site="west"} 0.0',
        'consilium_calls_total{status="200"} 3.0',
        "consilium_serial 7.0",
    ]


def test_health_is_503_with_the_reason_while_something_is_wrong() -> None:
    address = free_address()
    with monitored(address, watched("the roster cannot be used", "")):
        answers = [httpx.get(f"http://{address}/health", trust_env=False) for _ in range(2)]
    assert [(one.status_code, one.text) for one in answers] == [
        (503, "the roster cannot be used\n"),
        (200, "ok\n"),
    ]


def test_nothing_else_answers_and_nothing_at_all_once_it_is_over() -> None:
    address = free_address()
    with monitored(address, watched("")):
        assert httpx.get(f"http://{address}/", trust_env=False).status_code == 404
        assert httpx.post(f"http://{address}/metrics", trust_env=False).status_code == 405
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{address}/health", trust_env=False)


REFUSED = [
    "0.0.0.0:9650",
    "10.0.0.4:9650",
    "hospital.example:9650",
    "127.0.0.1",
    "127.0.0.1:0",
    "x",
]


@pytest.mark.parametrize("listen", REFUSED)
def test_an_address_that_others_reach_is_refused(listen: str) -> None:
    with pytest.raises(InputRefused, match="metrics refused"), monitored(listen, watched("")):
        pytest.fail("it listens")


def test_an_address_in_use_is_refused() -> None:
    address = free_address()
    with (
        monitored(address, watched("")),
        pytest.raises(HomeRefused, match="nothing can listen"),
        monitored(address, watched("")),
    ):
        pytest.fail("it listens")


def test_nothing_listens_unless_asked() -> None:
    with monitored("", watched("")):
        """No thread, no socket."""
