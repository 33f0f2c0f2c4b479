"""A server that shows a certificate of its own making under the aggregator's address."""

from pathlib import Path

from aggregator.config import AggregatorHome
from aggregator.tls import make_tls
from tests.hospital_node.test_doctor import served


def test_a_server_that_another_authority_vouches_for_hears_nothing_of_a_node(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as one:
        home = AggregatorHome(one.study.aggregator)
        make_tls(home.tls, federation="t", address=f"127.0.0.1:{one.port}")
        one.kill("serve")
        one.serve()
        one.node("north")
        one.until_said("north", "the relay is asked again in 0.8 s: ConnectError")
        assert "connected" not in one.log("north")
    assert not home.door.exists()  # no call came far enough to be turned away
