"""A table of stories: one hospital sends what spoils a model. It is named, and left out.

Every story runs the small study over its embedded federation to the end. The accepted model is, bit
for bit, that of a run which the hospital never answered.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from schemas.audit.events import Facts, Quarantined
from schemas.names import digest_of
from schemas.update import Update
from schemas.wire.arrays import declared_layout, flat_values, header
from schemas.wire.envelope import opened
from schemas.wire.layout import ArraySpec, Layout
from schemas.wire.packet import Packet
from tests.attacks.test_updates import envelope
from tests.desk import quarantined
from tests.study import Direct, Study, Tamper, made

LIAR = "west"
ROUNDS: dict[str, Any] = {
    "rounds": 2,
    "evaluation": {"rounds": [2]},
    "update_gate": {"max_norm_ratio": 50.0, "opposed_norm_ratio": 8.0, "least_cosine": -0.05},
}
"""Honest in the first round, a lie in the second; so lenient that no honest update stands out."""

Fields: TypeAlias = dict[str, Any]
Vector: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


@dataclass(frozen=True, slots=True)
class Sent:
    """What the hospital is about to send: fields and arrays of its update, and its earlier one."""

    fields: Fields
    layout: Layout
    vector: Vector
    earlier: Packet
    others: list[Vector]
    """What the others sent in this round."""

    def usual(self) -> float:
        return float(np.median([np.linalg.norm(one) for one in self.others]))

    def body(self) -> bytes:
        return header(self.layout) + self.vector.astype("<f4").tobytes()


Lie: TypeAlias = Callable[[Sent], tuple[Fields, bytes] | Packet]


def values(change: Callable[[Vector], Vector]) -> Lie:
    """Change the delta and nothing else."""

    def lie(sent: Sent) -> tuple[Fields, bytes]:
        vector = change(sent.vector).astype(np.float32)
        return sent.fields, header(sent.layout) + vector.tobytes()

    return lie


def flipped(times: float) -> Lie:
    """Point against the others, some times longer than they are."""

    def lie(sent: Sent) -> tuple[Fields, bytes]:
        along = np.sum([one / np.linalg.norm(one) for one in sent.others], axis=0)
        vector = -times * sent.usual() / np.linalg.norm(along) * along
        return sent.fields, header(sent.layout) + vector.astype(np.float32).tobytes()

    return lie


def scaled(times: float) -> Lie:
    """Send the own delta, some times longer than the others'."""

    def lie(sent: Sent) -> tuple[Fields, bytes]:
        vector = times * sent.usual() / np.linalg.norm(sent.vector) * sent.vector
        return sent.fields, header(sent.layout) + vector.astype(np.float32).tobytes()

    return lie


def one_value(value: float) -> Lie:
    def change(vector: Vector) -> Vector:
        vector[5] = value
        return vector

    return values(change)


def arrays(change: Callable[[Layout], Layout]) -> Lie:
    """Declare other arrays, as long as they say."""

    def lie(sent: Sent) -> tuple[Fields, bytes]:
        layout = change(sent.layout)
        return sent.fields, header(layout) + bytes(4 * sum(one.size for one in layout))

    return lie


def fields(**changes: Any) -> Lie:
    return lambda sent: (sent.fields | changes, sent.body())


def shaped(place: int, *shape: int) -> Lie:
    def change(layout: Layout) -> Layout:
        other = ArraySpec(name=layout[place].name, shape=shape)
        return (*layout[:place], other, *layout[place + 1 :])

    return arrays(change)


EXTRA = ArraySpec(name="zz", shape=(3,))

STORIES: dict[str, tuple[Lie, str]] = {
    "NaN": (one_value(np.nan), "finite"),
    "infinity": (one_value(-np.inf), "finite"),
    "1e30": (one_value(1e30), "norm"),
    "zeros": (values(np.zeros_like), "zero"),
    "a flipped sign, ten times": (flipped(10), "direction"),
    "a hundred times": (scaled(100), "median-norm"),
    "a missing key": (arrays(lambda layout: layout[1:]), "layout"),
    "an extra key": (arrays(lambda layout: (*layout, EXTRA)), "layout"),
    "keys in another order": (arrays(lambda layout: layout[::-1]), "layout"),
    "another shape": (shaped(0, 1, 4), "layout"),
    "one value for a whole array": (shaped(1, 1), "layout"),
    "another dtype": (
        lambda sent: (sent.fields, sent.body().replace(b'"F32"', b'"I32"')),
        "layout",
    ),
    "half of every value": (
        lambda sent: (
            sent.fields,
            header(sent.layout).replace(b'"F32"', b'"F16"') + sent.vector.astype("<f2").tobytes(),
        ),
        "layout",
    ),
    "a stale round, signed anew": (fields(round=1), "stale"),
    "its update of the round before, again": (lambda sent: sent.earlier, "stale"),
    "another plan": (fields(plan=digest_of(b"another")), "binding"),
    "another run": (fields(run="run-of-old"), "binding"),
    "a billion examples": (fields(examples=10**9), "envelope"),
    "a weight of its own": (fields(weight=1e9), "envelope"),
    "arrays that it did not sign": (fields(arrays=digest_of(b"others")), "envelope"),
}


def telling(lie: Lie) -> Callable[[EmbeddedFederation], Tamper]:
    """Let the liar be honest in the first round, and lie in the second."""

    def tamper(embedded: EmbeddedFederation) -> Tamper:
        first: list[Packet] = []
        sent: list[Vector] = []

        def told(site: str, reply: Packet) -> Packet:
            if not reply.body:
                return reply
            if site != LIAR:
                sent.append(flat_values(reply.body, declared_layout(reply.body)))
                return reply
            if not first:
                first.append(reply)
                return reply
            key = embedded.nodes[site].key
            update = opened(reply.envelope, Update, key=key.public).model_dump(mode="json")
            layout = declared_layout(reply.body)
            vector = flat_values(reply.body, layout).copy()
            found = lie(Sent(update, layout, vector, first[0], sent[-2:]))
            if isinstance(found, Packet):
                return found
            changed, body = found
            if changed["arrays"] == update["arrays"]:
                changed = changed | {"arrays": digest_of(body)}
            return replace(reply, envelope=envelope(changed, key.sign), body=body)

        return told

    return tamper


def run(
    study: Study, tamper: Callable[[EmbeddedFederation], Tamper]
) -> tuple[list[Facts], str | None, list[str]]:
    """Run to the end: what was recorded, the accepted arrays, and the last round's sites."""
    with study.opened() as embedded:
        seen: list[Facts] = []
        name = study.started(embedded.federation)
        exchange = Direct(embedded.nodes).tampering(tamper(embedded))
        state = conduct(embedded.federation, name, exchange, seen.append)
        return seen, state.accepted.arrays, [one.site for one in state.sources]


@pytest.fixture(scope="module")
def without_the_liar(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Return the model of a run whose second round the liar never answered."""
    rounds: list[str] = []

    def silent(_: EmbeddedFederation) -> Tamper:
        def tamper(site: str, reply: Packet) -> Packet | None:
            if site == LIAR and reply.body:
                rounds.append(site)
                return reply if len(rounds) == 1 else None
            return reply

        return tamper

    return run(made(tmp_path_factory.mktemp("without"), **ROUNDS), silent)[1]


@pytest.mark.parametrize("story", STORIES)
def test_the_liar_is_named_and_left_out(
    tmp_path: Path, story: str, without_the_liar: str | None
) -> None:
    lie, check = STORIES[story]
    seen, accepted, sites = run(made(tmp_path, **ROUNDS), telling(lie))
    assert quarantined(seen) == [(LIAR, check)]
    assert [one.round for one in seen if isinstance(one, Quarantined)] == [2]
    assert sites == ["east", "north"]
    assert accepted == without_the_liar
