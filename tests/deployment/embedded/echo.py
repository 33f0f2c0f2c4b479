"""A federation whose nodes answer by a plain function, for tests of what carries the packets."""

from collections.abc import Callable, Mapping, Sequence

from flwr.app import Context
from flwr.clientapp import ClientApp

from aggregator.exchange import Exchange
from aggregator.flower.server_app import build as server_app
from deployment.embedded.carriers import Carrier, copied
from deployment.embedded.engine import run
from hospital_node.flower.client_app import build as client_app
from schemas.names import digest_of
from schemas.update import EvaluateRequest, TrainRequest
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet

KEY = SigningKey.generate()
TIMELY_S = 60.0
"""A deadline that no test here reaches."""


def request(
    kind: type[TrainRequest | EvaluateRequest] = TrainRequest, *, body: bytes = b"", number: int = 1
) -> Packet:
    record = kind(
        federation="test",
        run="run-1",
        plan=digest_of(b"plan"),
        round=number,
        request=f"run-1.{number}",
        participants=("A",),
        arrays=digest_of(body),
        issued="2030-01-01T00:00:00.000Z",
    )
    return Packet(signed(record, KEY), body)


def echo(packet: Packet) -> Packet:
    return packet


def mute(_: Packet) -> Packet:
    """Be unable even to refuse."""
    raise ArithmeticError


def node(
    answer: Callable[[Packet], Packet] = echo, unable: Callable[[Packet], Packet] = mute
) -> ClientApp:
    return client_app(lambda _: answer, lambda _: unable)


def lead(
    conduct: Callable[[Exchange], None],
    clients: Mapping[str, ClientApp],
    *,
    workers: int = 2,
    carrier: Carrier = copied,
) -> None:
    """Lead an embedded run by a function that only wants the exchange."""

    def with_context(exchange: Exchange, _: Context) -> None:
        conduct(exchange)

    run(server_app(with_context), clients, workers=workers, carrier=carrier)


def replies(
    clients: Mapping[str, ClientApp],
    packet: Packet,
    *,
    sites: Sequence[str] = (),
    deadline_s: float = TIMELY_S,
    carrier: Carrier = copied,
) -> list[tuple[str, Packet | None]]:
    """Exchange one packet with these sites, or with all, and return what came in its order."""
    came: list[tuple[str, Packet | None]] = []

    def conduct(exchange: Exchange) -> None:
        came.extend(exchange(packet, sites or list(clients), deadline_s=deadline_s))

    lead(conduct, clients, carrier=carrier)
    return came
