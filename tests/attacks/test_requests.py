"""Requests that a node must not serve, or not serve again."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import EnvelopeRefused
from schemas.update import EvaluateRequest, Update
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet
from tests.desk import desk


def test_a_request_under_another_key_gets_no_answer_and_costs_nothing(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        for key in (SigningKey.generate(), one.embedded.nodes["north"].key):
            with pytest.raises(EnvelopeRefused, match="not of the expected key"):
                one.answer(Packet(signed(one.request(), key), one.body))
        assert one.spent() == 0


def test_arrays_that_the_aggregator_did_not_name_get_no_answer(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        packet = one.packet()
        with pytest.raises(EnvelopeRefused, match="its arrays are not the named ones"):
            one.answer(replace(packet, body=packet.body[:-1] + b"\1"))
        assert one.spent() == 0


@pytest.mark.parametrize("kind", [None, EvaluateRequest])
def test_no_release_is_had_twice_under_any_request_id(tmp_path: Path, kind: type | None) -> None:
    kinds = () if kind is None else (kind,)
    with desk(tmp_path, private=True) as one:
        first = one.answer(one.packet(*kinds))
        spent = one.spent(), one.spent("validation")
        assert one.answer(one.packet(*kinds)) == first
        assert one.refused(*kinds, request="another") == "request-invalid"
        assert one.refused(*kinds, issued="2026-01-02T00:00:00.000Z") == "request-invalid"
        assert (one.spent(), one.spent("validation")) == spent


def test_a_request_id_of_one_run_buys_nothing_in_another(tmp_path: Path) -> None:
    with desk(tmp_path, private=True) as one:
        assert isinstance(one.asked(), Update)
        spent = one.spent()
        assert one.refused(run="run-2") == "request-invalid"
        assert one.spent() == spent
