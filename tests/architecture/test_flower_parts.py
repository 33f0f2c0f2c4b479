"""The private parts of Flower that this code touches, each a test that fails by its name.

Public are `flwr.app`, `flwr.clientapp` and `flwr.serverapp`; all else may move in any release.
"""

import ast
import importlib
import inspect
import logging
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Array, ConfigRecord, Message, Metadata, RecordDict
from flwr.serverapp import Grid

from tests.architecture.fleet_parts import FLEET_PARTS

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {"flwr.app", "flwr.clientapp", "flwr.serverapp"}
FOLDERS = ("aggregator/flower", "deployment/embedded", "hospital_node/flower")


def part(name: str) -> Any:
    """Import one part by its full name."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (AttributeError, ImportError):
        pytest.fail(f"Flower moved {name}")


def names_a_message() -> bool:
    """Say whether a message's id can be set as Flower's own receivers set it."""
    one = Metadata(1, "", 1, 2, "", "", 0.0, 1.0, "train")
    one.__dict__["_message_id"] = "id"
    return one.message_id == "id"


def keeps_a_record() -> bool:
    """Say whether a record survives its way through Flower's objects."""
    objects = "flwr.supercore.inflatable.inflatable_object"
    inflate = part("flwr.supercore.inflatable.inflatable_utils.inflate_object_from_contents")
    record = RecordDict({"c": ConfigRecord({"x": b"1"})})
    with part(f"{objects}.no_object_id_recompute")():
        nested = part(f"{objects}.get_all_nested_objects")(record)
        contents = {id_: one.deflate() for id_, one in nested.items()}
        return bool(inflate(record.object_id, contents) == record)


PARTS: dict[str, Callable[[Any], bool]] = {
    "flwr.common.constant.ErrorCode": lambda codes: isinstance(
        codes.CLIENT_APP_RAISED_EXCEPTION, int
    ),
    "flwr.common.constant.SUPERLINK_NODE_ID": lambda number: number == 1,
    "flwr.proto.node_pb2.NodeInfo": lambda info: (
        info(node_id=2, name="A").name == "A" and info(node_id=2).node_id == 2
    ),
    "flwr.supercore.inflatable.inflatable_object.get_all_nested_objects": lambda _: (
        keeps_a_record()
    ),
    "flwr.supercore.inflatable.inflatable_object.no_object_id_recompute": lambda _: (
        keeps_a_record()
    ),
    "flwr.supercore.inflatable.inflatable_utils.inflate_object_from_contents": lambda _: (
        keeps_a_record()
    ),
    "flwr.supercore.run.Run": lambda run: run.create_empty(7).run_id == 7,
    "flwr.supercore.task_identity.TaskIdentity": lambda identity: (
        {"_run_id", "_node_id", "_task_id"} <= set(vars(identity))
    ),
    **FLEET_PARTS,
}
"""What is imported, and whether it still does what it is used for."""

BEHAVIOUR: dict[str, Callable[[], bool]] = {
    "Array(dtype, shape, stype, data)": lambda: Array("b", (1,), "b", b"x").data == b"x",
    "FLWR_DISABLE_UPDATE_CHECK": lambda: (
        part("flwr.supercore.constant.FLWR_DISABLE_UPDATE_CHECK") == "FLWR_DISABLE_UPDATE_CHECK"
    ),
    "FLWR_TELEMETRY_ENABLED": lambda: (
        "FLWR_TELEMETRY_ENABLED" in inspect.getsource(part("flwr.supercore.telemetry"))
    ),
    "Grid's abstract methods": lambda: (
        Grid.__abstractmethods__
        == {
            "create_message",
            "get_node_ids",
            "pull_messages",
            "push_messages",
            "run",
            "send_and_receive",
            "set_run",
        }
    ),
    "Message reads TaskIdentity": lambda: "TaskIdentity" in inspect.getsource(Message.__init__),
    "Metadata.__dict__['_message_id']": names_a_message,
    "the log is called flwr": lambda: (
        part("flwr.supercore.logger.FLOWER_LOGGER") is logging.getLogger("flwr")
    ),
}
"""What is relied on without an import."""


def imported() -> Iterator[str]:
    """Yield each name of Flower that the three folders import from other than a public module."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.ImportFrom(module=str(module), names=names) if module not in PUBLIC:
                        yield from (f"{module}.{alias.name}" for alias in names)
                    case ast.Import(names=names):
                        yield from (alias.name for alias in names if alias.name not in PUBLIC)


def test_flower_is_the_version_that_was_read() -> None:
    assert version("flwr").startswith("1.41.")


def test_every_private_part_that_is_imported_is_listed() -> None:
    assert {name for name in imported() if name.startswith("flwr")} == set(PARTS)


@pytest.mark.parametrize("name", PARTS)
def test_a_private_part_is_where_it_was_and_does_what_it_did(name: str) -> None:
    assert PARTS[name](part(name)), f"Flower changed {name}"


@pytest.mark.parametrize("name", BEHAVIOUR)
def test_a_behaviour_that_is_relied_on_is_as_it_was(name: str) -> None:
    assert BEHAVIOUR[name](), f"Flower changed {name}"
