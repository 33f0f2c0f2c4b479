"""Messages of a round carry constants, noised figures and coarse codes, and nothing else."""

from typing import get_args

import pytest
from pydantic import ValidationError

from schemas.base import Record
from schemas.names import digest_of
from schemas.update import Acknowledgement, Evaluation, Histogram, Refusal, Reply, Update

BINDING = {
    "federation": "study",
    "run": "run-1",
    "plan": digest_of(b"plan"),
    "round": 1,
    "request": "request-1",
    "site": "east",
    "head": "site/east\n0\n",
}


def test_a_histogram_has_as_many_bins_for_either_class_and_at_least_one() -> None:
    assert Histogram(counts=((-3, 2**20), (0, 1))).counts[0][1] == 2**20
    for wrong in (((1,), (1, 2)), ((), ()), ((1,), ())):
        with pytest.raises(ValidationError, match="the classes differ in their number of bins"):
            Histogram(counts=wrong)


FIELDS: dict[type[Record], set[str]] = {
    Update: {"kind", "arrays", "privacy"},
    Evaluation: {"kind", "arrays", "histogram", "privacy"},
    Refusal: {"kind", "code", "faulty"},
    Acknowledgement: {"kind"},
}


def test_a_reply_has_these_fields_and_no_room_for_more() -> None:
    """A new field must be weighed here: a count, a loss, a duration or a free text discloses."""
    assert set(get_args(Reply)) == set(FIELDS)
    for kind, own in FIELDS.items():
        assert set(kind.model_fields) == own | set(BINDING)


@pytest.mark.parametrize("extra", [{"loss": 0.1}, {"patients": 30}, {"reason": "patient left"}])
def test_a_refusal_says_a_coarse_code_only(extra: dict[str, object]) -> None:
    assert Refusal.model_validate({**BINDING, "code": "over-budget"}).kind == "refusal"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Refusal.model_validate({**BINDING, "code": "over-budget", **extra})
    with pytest.raises(ValidationError, match="Input should be 'request-invalid'"):
        Refusal.model_validate({**BINDING, "code": "patient left"})
