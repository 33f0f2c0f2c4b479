"""Every field that can leave a hospital, and why it may.

A field that is new, anywhere inside what a node signs or shares, fails here until it has its line:
charged to the ledger, or public, with the reason. A count, a loss, a duration, a norm or a free
text has none. What a node signs is read off its own code, so a new kind fails here too. Its
journal's events leave beside its replies; they are held kind by kind.
"""

import ast
import importlib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

import hospital_node
from schemas.audit import events, work
from schemas.audit.exchange import Shared
from schemas.base import Record
from schemas.update import Reply
from tests.schemas.disclosed import ENCRYPTION, EVENTS, FIELDS, MASKING

HOSPITAL = sorted(Path(hospital_node.__file__).parent.rglob("*.py"))
WRITERS = [*HOSPITAL, Path(work.__file__)]
"""What writes into a hospital's journal."""


def signed_kinds(source: str) -> Iterator[str]:
    """Name the class of every record that a module signs; anything that cannot be told fails."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        made = {
            one.targets[0].id: one.value
            for one in ast.walk(function)
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
        }
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "signed":
                record = call.args[0]
                value = made.get(record.id) if isinstance(record, ast.Name) else record
                assert isinstance(value, ast.Call), f"what {function.name} signs cannot be told"
                yield ast.unparse(value.func)


def signed_here() -> Iterator[type[Record]]:
    for path in HOSPITAL:
        place = path.relative_to(Path(hospital_node.__file__).parents[1]).with_suffix("")
        for name in signed_kinds(path.read_text()):
            yield getattr(importlib.import_module(".".join(place.parts)), name)


LEAVING: tuple[type[Record], ...] = (
    *sorted(set(signed_here()), key=lambda kind: kind.__name__),
    Shared,
)
"""Every kind of record that a node signs, and what it shares of its journal beside a reply."""


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
    found = {leaf for kind in LEAVING for leaf in leaves(kind.__name__, kind)}
    assert found - set(FIELDS) == set(), "a new field: charge it, or say here why it is public"
    assert set(FIELDS) - found == set(), "a field that is gone"


def test_nothing_else_is_a_reply() -> None:
    assert set(get_args(Reply)) <= set(LEAVING)


def test_what_a_node_signs_is_read_off_its_code() -> None:
    assert {kind.__name__ for kind in LEAVING} == {
        *("Acknowledgement", "ConformanceReport", "EnrolmentRequest", "Evaluation", "KeyRotation"),
        "Receipt",
        *("Refusal", "SealedReply", "SelfCheck", "Shared", "Update", *MASKING, *ENCRYPTION),
    }
    assert list(signed_kinds("def f(key):\n    return signed(Loss(value=1), key)")) == ["Loss"]
    with pytest.raises(AssertionError, match="what f signs cannot be told"):
        list(signed_kinds("def f(record, key):\n    return signed(record, key)"))


def test_every_event_that_a_node_writes_has_a_reason_to_leave() -> None:
    called = {
        call.func.id
        for path in WRITERS
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    written = {kind.__name__: kind for kind in get_args(get_args(events.Facts)[0])}
    found = {
        name: " ".join(one for one in kind.model_fields if one != "kind")
        for name, kind in written.items()
        if name in called
    }
    assert found == {name: fields for name, (fields, _) in EVENTS.items()}


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


@pytest.mark.parametrize("kind", LEAVING)
def test_a_reply_has_no_room_for_anything_else(kind: type[Record]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TypeAdapter(kind).validate_python({"patients": 30})
