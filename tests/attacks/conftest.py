"""The aggregator's public port, for whoever attacks it."""

from collections.abc import Iterator

import pytest

from tests.attacks.ports import Port, fresh, serving


@pytest.fixture(scope="module")
def served_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """Serve the application to all tests of a module; each lets in nodes of its own."""
    with serving(tmp_path_factory.mktemp("relay")) as found:
        yield found


@pytest.fixture
def port(served_port: Port) -> Port:
    return fresh(served_port)
