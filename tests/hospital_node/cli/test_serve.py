"""`hospital-node serve`: one at a time on a home."""

from pathlib import Path

from schemas.errors import HomeRefused
from tests.deployed import PATIENCE_S, command_of_served
from tests.hospital_node.test_doctor import served


def test_a_second_service_on_a_home_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        home = one.study.nodes["north"]
        one.node("north")
        one.until_said("north", "connected")
        second = one.start("second", "hospital_node", "serve", "--home", home)
        assert second.wait(PATIENCE_S) == HomeRefused.exit_status
        assert one.log("second") == (
            "home refused: north is in use by another service, one at a time is allowed\n"
            "next: wait for the other service to end, or end it\n"
        )
        command_of_served("policy", "show", "--home", home)
