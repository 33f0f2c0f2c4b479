"""The private parts of Flower that carry a federation over a network, and what each must do."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from fastapi.routing import APIRoute
from flwr.app import ConfigRecord, RecordDict
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.routers.fleet.router import router


def takes(*names: str) -> Callable[[Any], bool]:
    """Say whether a function has parameters of these names, in this order."""

    def found(function: Any) -> bool:
        parameters = list(inspect.signature(function).parameters)
        return [one for one in parameters if one in names] == list(names)

    return found


def has(*names: str) -> Callable[[Any], bool]:
    """Say whether a class has attributes of these names."""
    return lambda kind: all(hasattr(kind, one) for one in names)


def holds(*names: str) -> Callable[[Any], bool]:
    """Say whether a protobuf message has fields of these names."""
    return lambda kind: set(names) <= set(kind.DESCRIPTOR.fields_by_name)


def keeps_a_state_in_a_file() -> bool:
    """Say whether a node that was made in one link state is found in another on the same file."""
    with TemporaryDirectory() as folder:
        database = str(Path(folder) / "state.sqlite")
        states = [
            LinkStateFactory(
                database, NoOpFederationManager(), ObjectStoreFactory(database)
            ).state()
            for _ in range(2)
        ]
        node = states[0].create_node("a", "b", b"key", 0, name="north")
        return states[1].get_node_id_by_public_key(b"key") == node


FLEET_CALLS = (
    "ActivateNode",
    "ConfirmMessageReceived",
    "DeactivateNode",
    "PullMessages",
    "PullObject",
    "PushMessages",
    "PushObject",
    "SendNodeHeartbeat",
    "close",
    "from_server_address",
)

FLEET_PARTS: dict[str, Callable[[Any], bool]] = {
    "flwr.app.message.remove_content_from_message": takes("message"),
    "flwr.common.constant.NOOP_ACCOUNT_NAME": lambda name: isinstance(name, str),
    "flwr.common.constant.NOOP_FLWR_AID": lambda name: isinstance(name, str),
    "flwr.common.constant.SubStatus": has("STOPPED"),
    "flwr.common.serde.message_from_proto": takes("message_proto"),
    "flwr.common.serde.message_to_proto": takes("message"),
    "flwr.proto.fleet_pb2.ActivateNodeRequest": holds("public_key", "heartbeat_interval"),
    "flwr.proto.fleet_pb2.ActivateNodeResponse": holds("node_id"),
    "flwr.proto.fleet_pb2.DeactivateNodeRequest": holds("node_id"),
    "flwr.proto.fleet_pb2.PullMessagesRequest": holds("node"),
    "flwr.proto.fleet_pb2.PushMessagesRequest": holds(
        "node", "messages_list", "message_object_trees"
    ),
    "flwr.proto.heartbeat_pb2.SendNodeHeartbeatRequest": holds("node", "heartbeat_interval"),
    "flwr.proto.message_pb2.ConfirmMessageReceivedRequest": holds("node", "message_object_id"),
    "flwr.proto.message_pb2.PullObjectRequest": holds("node", "object_id"),
    "flwr.proto.message_pb2.PullObjectResponse": holds("object_available", "object_content"),
    "flwr.proto.node_pb2.Node": holds("node_id"),
    "flwr.server.superlink.linkstate.LinkState": has(
        "acknowledge_task_heartbeat",
        "activate_task",
        "claim_task",
        "create_node",
        "create_run",
        "deactivate_node",
        "delete_messages",
        "delete_node",
        "finish_task",
        "get_node_id_by_public_key",
        "get_node_info",
        "get_nodes",
        "get_object",
        "get_run_info",
        "object_store",
        "preregister_object_tree",
        "start_session",
        "store_message_ins",
        "store_object",
    ),
    "flwr.server.superlink.linkstate.LinkStateFactory": lambda _: keeps_a_state_in_a_file(),
    "flwr.server.superlink.linkstate.sql_linkstate.SqlLinkState": has(
        "_cleanup_expired_task_tokens",
        "_cleanup_push_session",
        "initialize",
        "session",
        "store_traffic",
    ),
    "flwr.supercore.state.schema.corestate_models.ObjectPushSessionRoot": has(
        "root_object_id", "session_id"
    ),
    "flwr.supercore.state.schema.linkstate_models.MessageIns": has(
        "created_at", "delivered_at", "dst_node_id", "message_id", "ttl"
    ),
    "flwr.supercore.state.schema.linkstate_models.MessageRes": has(
        "message_id", "reply_to_message_id", "src_node_id"
    ),
    "flwr.supercore.state.schema.linkstate_models.Node": has("node_id", "status"),
    "flwr.supercore.state.schema.objectstore_models.StoredObject": has("is_available", "object_id"),
    "flwr.supercore.utils.int64_to_uint64": lambda unsigned: unsigned(-1) == 2**64 - 1,
    "flwr.supercore.utils.uint64_to_int64": lambda signed: signed(2**64 - 1) == -1,
    "flwr.supercore.constant.FLEET_HTTP_PUBLIC_KEY_HEADER": lambda name: isinstance(name, str),
    "flwr.supercore.constant.NOOP_FEDERATION_ID": NoOpFederationManager().exists,
    "flwr.supercore.constant.NodeStatus": has("REGISTERED", "ONLINE", "OFFLINE", "UNREGISTERED"),
    "flwr.supercore.constant.TaskType": has("SERVER_APP"),
    "flwr.supercore.error.http_error_translator": inspect.iscoroutinefunction,
    "flwr.supercore.inflatable.inflatable_object.get_object_tree": lambda tree: bool(
        tree(RecordDict({"c": ConfigRecord({"x": b"1"})})).object_id
    ),
    "flwr.supercore.inflatable.inflatable_object.iterate_object_tree": inspect.isgeneratorfunction,
    "flwr.supercore.inflatable.inflatable_protobuf_utils."
    "make_confirm_message_received_fn_protobuf": takes("node", "run_id"),
    "flwr.supercore.inflatable.inflatable_protobuf_utils.make_pull_object_fn_protobuf": takes(
        "pull_object_protobuf", "node", "run_id"
    ),
    "flwr.supercore.inflatable.inflatable_protobuf_utils.make_push_object_fn_protobuf": takes(
        "push_object_protobuf", "node", "run_id", "session_id"
    ),
    "flwr.supercore.inflatable.inflatable_utils.ObjectPullError": lambda kind: issubclass(
        kind, Exception
    ),
    "flwr.supercore.inflatable.inflatable_utils.ObjectPushError": lambda kind: issubclass(
        kind, Exception
    ),
    "flwr.supercore.inflatable.inflatable_utils.pull_objects": takes(
        "object_ids", "pull_object_fn", "max_time", "initial_backoff"
    ),
    "flwr.supercore.inflatable.inflatable_utils.push_objects": takes(
        "objects", "push_object_fn", "object_ids_to_push"
    ),
    "flwr.supercore.object_store.NoObjectInStoreError": lambda kind: issubclass(kind, Exception),
    "flwr.supercore.object_store.ObjectStoreFactory": lambda _: keeps_a_state_in_a_file(),
    "flwr.supercore.primitives.asymmetric.public_key_to_bytes": takes("public_key"),
    "flwr.supercore.protobuf.translation.ProtobufTranslationMiddleware": lambda kind: (
        "protobuf_request" in inspect.getsource(sys.modules[kind.__module__])
    ),
    "flwr.superlink.dependencies.linkstate.get_linkstate": lambda read: (
        "linkstate_factory" in inspect.getsource(read)
    ),
    "flwr.superlink.federation.NoOpFederationManager": has("exists", "has_node", "filter_nodes"),
    "flwr.superlink.routers.fleet.node_auth.authenticate_node": takes("request"),
    "flwr.superlink.routers.fleet.node_auth.NodeAuthMiddleware": lambda kind: (
        "/v1/fleet/" in inspect.getsource(kind)
    ),
    "flwr.superlink.routers.fleet.router.router": lambda _: (
        {route.path for route in router.routes if isinstance(route, APIRoute)}
        == {
            f"/v1/fleet/{name}"
            for name in (
                "activate-node",
                "confirm-message-received",
                "deactivate-node",
                "get-fab",
                "get-run",
                "pull-messages",
                "pull-object",
                "push-messages",
                "push-object",
                "register-node",
                "send-node-heartbeat",
                "unregister-node",
            )
        }
    ),
    "flwr.supernode.fleet_http_client.FleetHttpClient": lambda kind: (
        isinstance(kind("https://localhost")._client, httpx.Client)  # noqa: SLF001 - its options
        and has(*FLEET_CALLS)(kind)
    ),
    "flwr.supernode.node_auth_http_interceptor.NodeAuthHttpInterceptor": takes(
        "private_key", "public_key"
    ),
}
