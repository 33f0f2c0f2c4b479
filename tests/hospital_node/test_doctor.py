"""What a node's doctor finds: each trouble that hospitals have, by its name and what to do."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import aggregator.cli
import hospital_node.cli
from hospital_node.config import NodeHome
from hospital_node.doctor import Check, examined
from schemas.command_line import run
from schemas.enrolment import fingerprint_of
from schemas.names import digest_of
from schemas.wire.keys import SigningKey
from tests.deployed import Deployed, free_port
from tests.study import Study, command


@contextmanager
def served(folder: Path) -> Iterator[Deployed]:
    """An aggregator that serves, and the home of one hospital that has joined it."""
    port = free_port()
    home, node = folder / "aggregator", folder / "north"
    address = f"127.0.0.1:{port}"
    words = ["init", "--home", str(home), "--name", "t", "--address", address]
    assert run(aggregator.cli.app, words) == 0
    root = SigningKey.load(home / "keys" / "root").public
    named = ("--aggregator", address, "--fingerprint", fingerprint_of(root))
    command("init", "--home", node, "--site", "north", *named)
    request, answer = folder / "request", folder / "answer"
    command("enrol", "request", "--home", node, "--out", request)
    approve = ["enrol", "approve", str(request), "--home", str(home), "--out", str(answer)]
    heard = ["--digest", digest_of(request.read_bytes())]
    assert run(aggregator.cli.app, [*approve, *heard, "--days", "10"]) == 0
    command("enrol", "install", answer, "--home", node)
    one = Deployed(Study(folder, folder / "plan", home, {"north": node}), port)
    try:
        one.serve()
        yield one
    finally:
        one.stop()


def found(home: Path) -> dict[str, Check]:
    return {one.name: one for one in examined(NodeHome(home))}


def test_a_node_that_is_well_and_each_thing_that_can_be_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as one:
        node = one.study.nodes["north"]
        well = found(node)
        expected = {
            "home",
            "keys",
            "passphrase",
            "policy",
            "ledger",
            "journal",
            "disk",
            "codecs",
            "enrolment",
        }
        assert set(well) == expected | {"proxy", "name", "tls", "clock", "relay"}
        assert {one.name for one in well.values() if one.outcome == "fault"} <= {"disk"}
        assert well["enrolment"].outcome == "note"
        assert well["enrolment"].next_step == "replace it: hospital-node enrol rotate"
        capsys.readouterr()
        status = run(hospital_node.cli.app, ["doctor", "--home", str(node), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert {one["name"] for one in told["checks"]} == set(well)
        assert status == (1 if told["faults"] else 0)

        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{free_port()}")
        proxied = found(node)
        assert "secret" not in proxied["proxy"].found
        assert proxied["tls"].outcome == "fault"
        monkeypatch.delenv("HTTPS_PROXY")
        for key, name in (("signing", "keys"), ("witness", "keys")):
            (node / "keys" / key).chmod(0o644)
            assert found(node)[name].outcome == "fault"
            (node / "keys" / key).chmod(0o600)
    silent = found(node)["tls"]
    assert silent.outcome == "fault"
    assert "takes no connection" in silent.found
    os.rename(node / "ledger.sqlite", node / "elsewhere")  # noqa: PTH104 - the shorter word
    assert found(node)["ledger"].outcome == "fault"
    assert run(hospital_node.cli.app, ["doctor", "--home", str(node)]) == 1
    assert "FAULT ledger" in capsys.readouterr().out


def test_a_node_that_was_revoked_is_told_so_although_its_own_files_are_well(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as one:
        node = one.study.nodes["north"]
        one.node("north")
        one.until_said("north", "connected")
        for _ in range(3):
            assert found(node)["relay"].outcome == "well"
        # Who only asks takes no other's place, and nothing is sent again.
        assert one.log("north").count("connected") == 1
        words = ["roster", "revoke", "--home", str(one.study.aggregator), "--site", "north"]
        assert run(aggregator.cli.app, words) == 0
        one.until_said("north", "does not know this node's key")
        relay = found(node)["relay"]
        assert relay.outcome == "fault"
        assert "it was not approved, or was revoked" in relay.found
        assert relay.next_step == "ask the aggregator: aggregator roster list"
        assert found(node)["enrolment"].outcome != "fault"


def test_another_authority_is_named_as_tls_that_is_opened_on_the_way(tmp_path: Path) -> None:
    with served(tmp_path / "one") as one, served(tmp_path / "other") as other:
        tls = one.study.aggregator / "tls"
        for name in ("server.pem", "server.key"):
            content = (other.study.aggregator / "tls" / name).read_bytes()
            (tls / name).write_bytes(content)
        one.kill("serve")
        one.serve()
        check = found(one.study.nodes["north"])["tls"]
    assert check.outcome == "fault"
    assert "not vouched for by the federation's authority" in check.found


def test_an_aggregators_status_tells_who_is_connected_and_what_was_turned_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path) as one:
        found(one.study.nodes["north"])
        words = ["status", "--home", str(one.study.aggregator), "--json"]
        capsys.readouterr()
        assert run(aggregator.cli.app, words) == 0
        told = json.loads(capsys.readouterr().out)
    assert [one["site"] for one in told["members"]] == ["north"]
    assert not told["members"][0]["connected"]
    assert told["members"][0]["key"].startswith("its key expires on ")
    assert told["runs"] == {}
    assert run(aggregator.cli.app, words) == 0
    assert json.loads(capsys.readouterr().out)["turned_away"] == {"no-such-endpoint": 1}
