"""Every field that can leave a hospital in a reply, and why it may.

A field that is new, anywhere inside a reply, fails here until it has its line: charged to the
ledger, or public, with the reason. A count, a loss, a duration, a norm or a free text has none.
"""

import types
from collections.abc import Iterator
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.base import Record
from schemas.conformance import ConformanceReport
from schemas.update import Evaluation, Refusal, Reply, Update

BINDING = "repeats the request"
PLAN = "a constant of the approved plan"
SPENT = "a function of constants of the plans that were charged"
FIELDS: dict[str, str] = {
    # What every reply is bound to.
    **{
        f"{kind}.{name}": BINDING
        for kind in ("Update", "Evaluation", "Refusal")
        for name in ("federation", "run", "plan", "round", "request")
    },
    **{
        f"{kind}.kind": "a constant of the software" for kind in ("Update", "Evaluation", "Refusal")
    },
    **{f"{kind}.site": "the roster names it" for kind in ("Update", "Evaluation", "Refusal")},
    **{
        f"{kind}.head": "counts commands, requests and charges, and hashes public facts"
        for kind in ("Update", "Evaluation", "Refusal")
    },
    # What is released.
    "Update.arrays": "charged: names a delta that was noised",
    "Evaluation.arrays": BINDING,
    "Evaluation.histogram.counts[][]": "charged: noised counts",
    "Refusal.code": "coarse; outside the guarantee, and every report says so",
    # What it cost.
    **{
        f"{kind}.privacy.{name}": reason
        for kind in ("Update", "Evaluation")
        for name, reason in {
            "event.kind": "a constant of the software",
            "event.sampling_rate": PLAN,
            "event.noise_multiplier": PLAN,
            "event.steps": PLAN,
            "max_norm": PLAN,
            "part": PLAN,
            "unit": "a constant of the software",
            "adjacency": "a constant of the software",
            "spent.delta": PLAN,
            "spent.rdp": SPENT,
            "spent.pld": SPENT,
        }.items()
    },
    # The answer to a contract.
    "ConformanceReport.kind": "a constant of the software",
    "ConformanceReport.federation": "the roster names it",
    "ConformanceReport.site": "the roster names it",
    "ConformanceReport.contract": "a constant of the contract",
    "ConformanceReport.code": "coarse; outside the guarantee, as a refusal is",
    "ConformanceReport.head": "counts commands, requests and charges, and hashes public facts",
    "ConformanceReport.declared[].part": "a constant of the contract",
    "ConformanceReport.declared[].patients": "a person's public statement, never counted",
    "ConformanceReport.noised[].part": "a constant of the contract",
    "ConformanceReport.noised[].patients": "charged: a noised count",
    **{
        f"ConformanceReport.noised[].privacy.{name}": reason
        for name, reason in {
            "event.kind": "a constant of the software",
            "event.sampling_rate": "a constant of the software",
            "event.noise_multiplier": "a constant of the contract",
            "event.steps": "a constant of the software",
            "max_norm": "a constant of the software",
            "part": "a constant of the contract",
            "unit": "a constant of the software",
            "adjacency": "a constant of the software",
            "spent.delta": "a constant of the plans that were charged",
            "spent.rdp": SPENT,
            "spent.pld": SPENT,
        }.items()
    },
}

REPLIES: tuple[type[Record], ...] = (Update, Evaluation, Refusal, ConformanceReport)
"""Every kind of record that a node signs for the aggregator."""


def leaves(place: str, annotation: object) -> Iterator[str]:
    """Name every field below a type that is no record, tuple, mapping or choice itself."""
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        for name, field in annotation.model_fields.items():
            yield from leaves(f"{place}.{name}", field.annotation)
    elif origin in {tuple, list}:
        for one in {one for one in get_args(annotation) if one is not Ellipsis}:
            yield from leaves(f"{place}[]", one)
    elif origin is dict:
        yield from leaves(f"{place}{{}}", get_args(annotation)[1])
    elif origin in {Union, types.UnionType}:
        for one in get_args(annotation):
            if one is not type(None):
                yield from leaves(place, one)
    elif origin is Annotated:
        yield from leaves(place, get_args(annotation)[0])
    else:
        yield place


def test_every_field_of_a_reply_is_public_or_charged() -> None:
    found = {leaf for kind in REPLIES for leaf in leaves(kind.__name__, kind)}
    assert found - set(FIELDS) == set(), "a new field: charge it, or say here why it is public"
    assert set(FIELDS) - found == set(), "a field that is gone"


def test_nothing_else_is_a_reply() -> None:
    assert set(get_args(Reply)) <= set(REPLIES)


def test_the_walk_finds_what_hides_in_tuples_choices_and_mappings() -> None:
    class Inner(Record):
        loss: float

    class Outer(Record):
        many: tuple[Inner, ...]
        named: dict[str, Inner | None]
        rows: tuple[tuple[int, ...], ...]
        kind: Literal["outer"] = "outer"

    assert set(leaves("Outer", Outer)) == {
        *("Outer.many[].loss", "Outer.named{}.loss", "Outer.rows[][]", "Outer.kind")
    }


@pytest.mark.parametrize("kind", REPLIES)
def test_a_reply_has_no_room_for_anything_else(kind: type[Record]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TypeAdapter(kind).validate_python({"patients": 30})
