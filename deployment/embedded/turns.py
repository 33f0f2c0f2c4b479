"""Sites that take turns: one works at a time, and who answers for it is a function of a packet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from flwr.app import Context

from aggregator.exchange import Exchange
from aggregator.flower import server_app
from deployment.embedded import engine
from hospital_node.flower import client_app
from schemas.names import SiteName
from schemas.wire.packet import Packet

Answer: TypeAlias = Callable[[Packet], Packet]


@dataclass(frozen=True, slots=True)
class Answers:
    """How one site answers a packet, and how when that raised what nobody foresaw."""

    usual: Answer
    unable: Answer


def take_turns(sites: Mapping[SiteName, Answers], lead: Callable[[Exchange], None]) -> None:
    """Let `lead` ask these sites over Flower's apps; what it raises reaches the caller."""

    def led(exchange: Exchange, _: Context) -> None:
        lead(exchange)

    clients = {
        site: client_app.build(_always(one.usual), _always(one.unable))
        for site, one in sites.items()
    }
    engine.run(server_app.build(led), clients, workers=1)


def _always(answer: Answer) -> client_app.AnswerOf:
    return lambda _: answer
