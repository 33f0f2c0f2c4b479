"""A dishonest hospital that signs what it likes."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rfc8785

from deployment.embedded.federation import EmbeddedFederation
from schemas.audit.events import Quarantined, ReplyReceived
from schemas.errors import EnvelopeRefused, InvalidRecord
from schemas.names import digest_of
from schemas.update import Update
from schemas.wire.arrays import declared_layout, flat_values, header
from schemas.wire.envelope import Envelope, opened, pre_authentication
from schemas.wire.packet import Packet
from tests.desk import ONE_ROUND, attacked, desk, quarantined
from tests.study import Tamper, made

Lie = Callable[[dict[str, Any], np.ndarray], tuple[dict[str, Any], np.ndarray]]


def lying(lie: Lie) -> Callable[[EmbeddedFederation], Tamper]:
    """Let the north hospital change its update and sign it, whatever the schema says."""

    def tamper(embedded: EmbeddedFederation) -> Tamper:
        def told(site: str, reply: Packet) -> Packet:
            if site != "north" or not reply.body:
                return reply
            key = embedded.nodes[site].key
            fields = opened(reply.envelope, Update, key=key.public).model_dump(mode="json")
            layout = declared_layout(reply.body)
            fields, vector = lie(fields, flat_values(reply.body, layout).copy())
            body = header(layout) + vector.tobytes()
            signed = envelope(fields | {"arrays": digest_of(body)}, key.sign)
            return replace(reply, envelope=signed, body=body)

        return told

    return tamper


def envelope(fields: dict[str, Any], sign: Callable[[bytes], bytes]) -> bytes:
    payload = rfc8785.dumps(fields)
    signature = sign(pre_authentication("Update", payload))
    return Envelope(
        kind="Update",
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(signature).decode(),
    ).canonical()


def no_number(fields: dict[str, Any], vector: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    vector[::7] = np.nan
    return fields, vector


def cheaper(fields: dict[str, Any], vector: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    event = fields["privacy"]["event"] | {"noise_multiplier": 30.0}
    return fields | {"privacy": fields["privacy"] | {"event": event}}, vector


LIES: dict[str, tuple[Lie, str]] = {
    "values that are not numbers": (no_number, "finite"),
    "a delta beyond any use": (lambda fields, vector: (fields, vector + np.float32(1e7)), "norm"),
    "a delta far longer than the others'": (
        lambda fields, vector: (fields, vector + np.float32(1e3)),
        "median-norm",
    ),
    "a weight of its own": (lambda fields, vector: (fields | {"weight": 1e9}, vector), "envelope"),
    "a number of patients": (
        lambda fields, vector: (fields | {"patients": 10**9}, vector),
        "envelope",
    ),
}


def test_each_lie_is_quarantined_alone(tmp_path: Path) -> None:
    told = dict(enumerate(LIES.values(), start=1))

    def lie(fields: dict[str, Any], vector: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        return told[fields["round"]][0](fields, vector)

    study = made(tmp_path, rounds=len(LIES), evaluation={"rounds": [len(LIES)]})
    seen = attacked(study, lying(lie))
    found = [(one.round, one.site, one.check) for one in seen if isinstance(one, Quarantined)]
    assert found == [(number, "north", check) for number, (_, check) in told.items()]
    counted = [one.round for one in seen if isinstance(one, ReplyReceived) and one.arrays]
    assert {number for number in told if counted.count(number) < 2} == set()


def test_a_privacy_statement_below_the_plans_price_is_quarantined(tmp_path: Path) -> None:
    one_round: dict[str, Any] = {
        "rounds": 1,
        "evaluation": {"rounds": [1], "noise_multiplier": 3.0},
    }
    seen = attacked(made(tmp_path, private=True, **one_round), lying(cheaper))
    assert quarantined(seen) == [("north", "privacy")]


def test_nothing_in_an_update_can_change_its_weight(tmp_path: Path) -> None:
    fields = set(Update.model_fields)
    assert fields == {
        *("federation", "run", "plan", "round", "request"),
        *("kind", "site", "head", "arrays", "privacy"),
    }
    with desk(tmp_path) as one:
        update = one.asked()
        with pytest.raises(InvalidRecord, match="/weight"):
            Update.from_canonical(rfc8785.dumps(update.model_dump(mode="json") | {"weight": 2}))
        key = one.node.key
        with pytest.raises(EnvelopeRefused, match="/weight"):
            opened(
                envelope(update.model_dump(mode="json") | {"weight": 2}, key.sign),
                Update,
                key=key.public,
            )


def test_the_weight_of_a_source_is_the_plans(tmp_path: Path) -> None:
    weights = {"east": 1.0, "north": 2.0, "west": 5.0}
    sites = [{"site": site, "weight": weight} for site, weight in weights.items()]
    study = made(tmp_path, **ONE_ROUND, sites=sites)
    state = study.conducted()
    assert {one.site: one.weight for one in state.sources} == weights
