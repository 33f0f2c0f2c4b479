"""Whoever sends a body that never ends: it is not read, or not for long."""

import asyncio
import socket
from typing import Any

import pytest
from fastapi import HTTPException

from aggregator.door import Door
from aggregator.flower.body import LITTLE_BYTES, MAX_BODY_BYTES, Message, Scope, read_body
from aggregator.flower.gatekeeper import BURST, Gatekeeper
from tests.attacks.ports import Port
from tests.deployed import PATIENCE_S

PATH = "/v1/fleet/push-object"


def answered(port: Port, *headers: str, body: bytes) -> int:
    """Send a call whose body does not come to its end; return the status of its answer."""
    head = "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: x", *headers, "", ""]).encode()
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as line:
        line.sendall(head + body)
        found = line.recv(12)
    return int(found.removeprefix(b"HTTP/1.1 "))


def of(signature: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in signature.items()]


def test_nothing_of_a_strangers_large_body_is_awaited(port: Port) -> None:
    length = f"Content-Length: {MAX_BODY_BYTES - 1}"
    strangers = [
        [],
        of(port.signature("stranger")),
        of(port.signature("north") | port.signature("stranger")),
        of(port.signature("stranger") | key_of(port.signature("north"))),
        ["Flower-Public-Key: ?", *of(key_of(port.signature("north")))],
        of(key_of(port.signature("north"))),
    ]
    for headers in strangers:
        assert answered(port, length, *headers, body=b"") == 401
    assert port.door.counts == {"not-signed": len(strangers)}


def key_of(signature: dict[str, str]) -> dict[str, str]:
    """Return the key alone, which is on the roster that every hospital has."""
    return {name: value for name, value in signature.items() if "key" in name.lower()}


def test_a_strangers_body_without_a_length_is_read_to_the_little_that_anybody_may_send(
    port: Port,
) -> None:
    part = b"%x\r\n%b\r\n" % (LITTLE_BYTES + 1, bytes(LITTLE_BYTES + 1))
    assert answered(port, "Transfer-Encoding: chunked", body=part) == 401


def test_a_nodes_large_body_is_read(port: Port) -> None:
    body = bytes(4 * LITTLE_BYTES)
    answer = port.client.post(PATH, content=body, headers=port.signature("north"))
    assert answer.status_code == 415


def test_a_body_that_stalls_is_ended_and_counted() -> None:
    door, said = Door(), list[Message]()

    async def never(*_: object) -> Any:
        await asyncio.Event().wait()

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "path": PATH, "method": "POST", "headers": [], "client": ("::1", 1)}
    asyncio.run(Gatekeeper(never, door, patience_s=0.01)(scope, never, send))
    assert said[0]["status"] == 408
    assert (b"connection", b"close") in said[0]["headers"]
    assert door.counts == {"too-slow": 1}


def test_a_body_that_trickles_is_ended_before_it_is_whole() -> None:
    async def part() -> Message:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(HTTPException, match="408: the body came too slowly"):
        asyncio.run(read_body({"headers": []}, part, is_known=anybody, patience_s=0.05))


def test_a_body_that_keeps_the_pace_may_take_longer() -> None:
    left = [2**20] * 8

    async def part() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": bytes(left.pop()), "more_body": bool(left)}

    body = asyncio.run(read_body({"headers": []}, part, is_known=anybody, patience_s=0.2))
    assert len(body) == 8 * 2**20


async def anybody(_: Scope) -> bool:
    return True


def test_an_address_that_calls_without_end_is_turned_away_by_the_application() -> None:
    door = Door()

    async def app(*_: object) -> None:
        message = "a call of nobody came through"
        raise AssertionError(message)

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    async def flood() -> None:
        keeper = Gatekeeper(app, door)
        scope = {"type": "http", "path": PATH, "method": "POST", "headers": []}
        for _ in range(3 * int(BURST)):
            await keeper({**scope, "client": ("10.0.0.1", 1)}, gone, send)
        assert door.counts["too-often"] > BURST
        before = door.counts["too-often"]
        await keeper({**scope, "client": ("10.0.0.2", 1)}, gone, send)
        assert door.counts["too-often"] == before

    asyncio.run(flood())
