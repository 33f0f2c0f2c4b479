"""What Flower allows as it comes, with TLS and node authentication on: why it is not used so.

Each attack here is refused by our port or our nodes, in the test that is named beside it.
"""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.proto.message_pb2 import PullObjectRequest

import hospital_node
from aggregator.flower.body import MAX_BODY_BYTES
from tests.deployed import PATIENCE_S
from tests.stock import Stock, Stolen, stock


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    with stock(tmp_path_factory.mktemp("stock")) as one:
        yield one


@pytest.fixture(scope="module")
def stolen(federation: Stock) -> Stolen:
    return federation.stolen()


def update(words: str) -> RecordDict:
    return RecordDict({"update": ConfigRecord({"words": words})})


def test_a_stranger_starts_a_run_and_takes_the_task_that_leads_it(stolen: Stolen) -> None:
    """Ours: test_public_port.py, no endpoint of control or runtime is there."""
    assert stolen.task_id


def test_a_hospital_runs_a_strangers_bundle_in_place_of_its_installed_package(
    federation: Stock, stolen: Stolen
) -> None:
    """Ours: test_public_port.py, the port hands out no bundle; a node never asks for one."""
    stolen.asked("west", "train")
    end = time.monotonic() + PATIENCE_S
    while not (federation.trace.exists() and federation.trace.read_text()):
        assert time.monotonic() < end, (federation.folder / "flower-supernode.log").read_text()
        time.sleep(0.05)
    ran = Path(federation.trace.read_text())
    assert ran.is_relative_to(federation.folder)
    assert ran.parent.name == hospital_node.__name__


def test_a_hospital_replies_in_the_name_of_another(federation: Stock, stolen: Stolen) -> None:
    """Ours: test_public_port.py at the port, test_relay.py and test_sealing.py behind it."""
    east, north = federation.node("east"), federation.node("north")
    sent = stolen.asked("east", "round 1")
    request = east.pulled()
    north.replies(request, update("forged by north"), as_node=east.node)
    reply = stolen.answered(sent)
    assert reply.metadata.src_node_id == east.node.node_id
    assert reply.content["update"]["words"] == "forged by north"


def test_a_hospital_reads_what_was_sent_to_another(federation: Stock, stolen: Stolen) -> None:
    """Ours: test_public_port.py."""
    east, north = federation.node("east"), federation.node("north")
    sent = stolen.asked("east", "for east alone")
    assert east.pulled().metadata.message_id == sent
    reading = PullObjectRequest(node=north.node, run_id=stolen.run_id, object_id=sent)
    assert north.line.PullObject(reading).object_content


def test_whoever_took_the_task_reads_every_hospitals_update(
    federation: Stock, stolen: Stolen
) -> None:
    """Ours: test_sealing.py, a reply opens for nobody but the aggregator."""
    east = federation.node("east")
    sent = stolen.asked("east", "round 2")
    east.replies(east.pulled(), update("of east's patients"), as_node=east.node)
    assert stolen.answered(sent).content["update"]["words"] == "of east's patients"


def test_an_update_of_an_earlier_round_counts_again(federation: Stock, stolen: Stolen) -> None:
    """Ours: test_relay.py and test_stories.py, a reply is bound to federation, run, plan, round."""
    north, first = federation.node("north"), update("of round 1")
    for number in (1, 2):
        sent = stolen.asked("north", f"round {number} of north")
        north.replies(north.pulled(), first, as_node=north.node)
        assert stolen.answered(sent).content["update"] == first["update"]


def test_a_stranger_enrols_its_own_key(federation: Stock) -> None:
    """Ours: test_public_port.py, the relay knows the roster's keys alone."""
    federation.registered("stranger")
    assert federation.node("stranger").node.node_id


def test_a_body_of_any_size_is_taken_in_before_anybody_is_asked_who_sends_it(
    federation: Stock,
) -> None:
    """Ours: test_public_port.py, which answers 413."""
    context = ssl.create_default_context(cadata=federation.authority.decode())
    headers = {"content-type": "application/protobuf", "accept": "application/protobuf"}
    with httpx.Client(verify=context, timeout=PATIENCE_S) as client:
        address = f"https://{federation.address}/v1/fleet/push-object"
        answer = client.post(address, content=bytes(4 * MAX_BODY_BYTES), headers=headers)
    assert answer.status_code == 400
