"""A record has one byte form; nothing else passes for it, and no refusal repeats what was sent."""

import json
import struct
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.base import MAX_RECORD_BYTES, Record
from schemas.errors import InvalidRecord
from schemas.names import Name, Text, digest_of
from schemas.update import Histogram


class Inner(Record):
    """A record in a record."""

    name: Name


class Example(Record):
    """One field of every shape that records use."""

    count: int
    ratio: float
    text: Text = ""
    chosen: bool = False
    inner: Inner | None = None
    items: tuple[int, ...] = ()


EXAMPLE = Example(count=2, ratio=0.5)
CANONICAL = EXAMPLE.canonical()

WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
EXAMPLES = st.builds(
    Example,
    count=WHOLE,
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40),
    chosen=st.booleans(),
    inner=st.none() | st.builds(Inner, name=st.from_regex(r"[A-Za-z0-9]{1,9}", fullmatch=True)),
    items=st.lists(WHOLE, max_size=4).map(tuple),
)


@given(EXAMPLES)
def test_a_record_is_read_back_from_its_bytes(record: Example) -> None:
    read = Example.from_canonical(record.canonical())
    assert read == record
    assert read.canonical() == record.canonical()
    assert read.digest == record.digest == digest_of(record.canonical())


@given(EXAMPLES, EXAMPLES)
def test_records_are_equal_exactly_when_their_digests_are(one: Example, other: Example) -> None:
    assert (one.digest == other.digest) == (one == other)


def test_the_bytes_are_sorted_plain_and_whole_floats_have_no_point() -> None:
    assert Example(count=2, ratio=1.0, text="\u00e9").canonical() == (
        '{"chosen":false,"count":2,"inner":null,"items":[],"ratio":1,"text":"\u00e9"}'.encode()
    )


@pytest.mark.parametrize(
    ("old", "new"),
    {
        "a space": ('"count":2', '"count": 2'),
        "a space around": ('{"chosen"', ' {"chosen"'),
        "a line end": ('"text":""}', '"text":""}\n'),
        "fields in another order": (
            '"chosen":false,"count":2,',
            '"count":2,"chosen":false,',
        ),
        "a field twice": ('"count":2', '"count":3,"count":2'),
        "a default left out": ('"chosen":false,', ""),
        "another spelling of a float": ('"ratio":0.5', '"ratio":5e-1'),
        "a longer spelling of a float": ('"ratio":0.5', '"ratio":0.50'),
        "an escape": ('"text":""', '"text":"\\u0061"'),
        "an escaped slash": ('"text":""', '"text":"\\/"'),
        "an escaped name": ('"text"', '"\\u0074ext"'),
    }.values(),
    ids=str,
)
def test_any_other_spelling_of_the_same_record_is_refused(old: str, new: str) -> None:
    sent = CANONICAL.decode().replace(old, new)
    assert sent != CANONICAL.decode()
    with pytest.raises(InvalidRecord) as refused:
        Example.from_canonical(sent.encode())
    assert refused.value.message == (
        "Example refused: its bytes are not in canonical form (RFC 8785)"
    )


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('"count":2', '"count":2.0', "/count: Input should be a valid integer"),
        ('"count":2', '"count":2.5', "/count: Input should be a valid integer"),
        ('"count":2', '"count":"2"', "/count: Input should be a valid integer"),
        ('"count":2', '"count":true', "/count: Input should be a valid integer"),
        ('"count":2', '"count":null', "/count: Input should be a valid integer"),
        ('"count":2', '"count":9007199254740993', "a whole number beyond 2^53"),
        ('"count":2,', "", "/count: Field required"),
        ('"count":2', '"count":2,"counts":2', "/counts: Extra inputs are not permitted"),
        ('"ratio":0.5', '"ratio":"0.5"', "/ratio: Input should be a valid number"),
        ('"ratio":0.5', '"ratio":NaN', "/ratio: Input should be a finite number"),
        ('"ratio":0.5', '"ratio":-Infinity', "/ratio: Input should be a finite number"),
        ('"ratio":0.5', '"ratio":1e400', "/ratio: Input should be a finite number"),
        ('"chosen":false', '"chosen":0', "/chosen: Input should be a valid boolean"),
        ('"items":[]', '"items":[1,"a"]', "/items/1: Input should be a valid integer"),
        ('"items":[]', '"items":{}', "/items: Input should be a valid array"),
        ('"inner":null', '"inner":{"name":"../up"}', "/inner/name: String should match pattern"),
        ('"text":""', '"text":"\\ud800"', "/: Invalid JSON"),
        ('"text":""', '"text":"\n"', "/: Invalid JSON"),
        ('"items":[]', '"items":' + "[" * 9999, "/: Invalid JSON: recursion limit exceeded"),
        ("{", "\ufeff{", "/: Invalid JSON"),
        ("}", "", "/: Invalid JSON"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place_and_the_rule(
    old: str, new: str, found: str
) -> None:
    sent = CANONICAL.decode().replace(old, new)
    with pytest.raises(InvalidRecord) as refused:
        Example.from_canonical(sent.encode())
    assert refused.value.message.startswith(f"Example refused: {found}")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidRecord, match=r"^Example refused: /: Invalid JSON"):
        Example.from_canonical(CANONICAL.replace(b'"text":""', b'"text":"\xff"'))


def test_more_bytes_than_a_record_may_have_are_refused_unread() -> None:
    with pytest.raises(InvalidRecord) as refused:
        Example.from_canonical(b" " * (MAX_RECORD_BYTES + 1))
    assert refused.value.message == (
        "Example refused: 16777217 bytes, at most 16777216 are allowed"
    )


def test_a_count_beyond_exact_numbers_is_refused_and_not_a_crash() -> None:
    with pytest.raises(InvalidRecord, match=r"beyond 2\^53"):
        Histogram.from_canonical(b'{"counts":[[1152921504606846976],[1]]}')


def test_of_many_faults_the_first_eight_are_named_and_the_rest_counted() -> None:
    content = json.dumps({"counts": [["1"] * 10, []]}).encode()
    with pytest.raises(InvalidRecord) as refused:
        Histogram.from_canonical(content)
    assert "/counts/0/7: Input should be a valid integer" in refused.value.message
    assert "/counts/0/8" not in refused.value.message
    assert refused.value.message.endswith(" and 2 more")


@pytest.mark.parametrize("name", ["a b", "\u202e", "line\nbreak", "/etc/passwd", "x" * 65, ""])
def test_an_unknown_field_that_is_no_name_is_not_repeated(name: str) -> None:
    content = json.dumps({"count": 2, "ratio": 0.5, name: 1}).encode()
    with pytest.raises(InvalidRecord) as refused:
        Example.from_canonical(content)
    assert refused.value.message == "Example refused: /?: Extra inputs are not permitted"


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        EXAMPLE.count = 3  # type: ignore[misc] # the claim


def test_a_record_cannot_hold_a_set() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.names holds a set, which has no canonical form"):

        class Wrong(Record):
            names: tuple[frozenset[str] | None, ...]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("count = 2\nratio = ", "syntax at end of document"),
        ("count = 2\nratio = @secret", "syntax at line 2, column 9"),
        ("[secret]\n[secret]", "syntax at line 2, column 8"),
        ("count = 2\nratio = nan", "a value that TOML allows and records do not"),
        ("count = 2\nratio = -inf", "a value that TOML allows and records do not"),
        ("count = 1979-05-27", "a value that TOML allows and records do not"),
        ("count = 07:32:00", "a value that TOML allows and records do not"),
        ("count = " + "9" * 5000, "a value that TOML allows and records do not"),
        ("count = " + "[" * 5000, "a value that TOML allows and records do not"),
    ],
)
def test_what_is_not_plain_toml_is_refused_and_never_repeated(text: str, found: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        Example.from_toml(text)
    assert refused.value.message.startswith(f"Example refused: the file is not plain TOML ({found}")
    assert "secret" not in refused.value.message


def test_toml_is_read_into_the_same_record() -> None:
    read = Example.from_toml("ratio = 5e-1 # half\ncount = 0x2\n")
    assert read == EXAMPLE
    assert read.digest == EXAMPLE.digest


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('count = "2"\nratio = 0.5', "/count: Input should be a valid integer"),
        ("count = 2.0\nratio = 0.5", "/count: Input should be a valid integer"),
        ("count = 9007199254740993\nratio = 0.5", "a whole number beyond 2^53"),
        ("count = 2\nratio = 0.5\ncout = 1", "/cout: Extra inputs are not permitted"),
    ],
)
def test_toml_is_held_to_the_same_rules(text: str, found: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        Example.from_toml(text)
    assert refused.value.message.startswith(f"Example refused: {found}")


NAMES = ["arrays", "french", "structures", "unicode", "values", "weird"]


@pytest.mark.parametrize("name", NAMES)
def test_the_canonical_writer_agrees_with_the_published_documents(
    shared_vectors: Path, name: str
) -> None:
    folder = shared_vectors / "json-canonicalization" / "testdata"
    value = json.loads((folder / "input" / f"{name}.json").read_text(encoding="utf-8"))
    written = rfc8785.dumps(value)
    assert written == (folder / "output" / f"{name}.json").read_bytes()
    assert written == bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (1_000, "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687"),
        (10_000, "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892"),
        (100_000, "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7"),
    ],
)
def test_numbers_are_written_as_ecmascript_writes_them(
    shared_vectors: Path, lines: int, expected: str
) -> None:
    readme = shared_vectors / "json-canonicalization" / "testdata" / "README.md"
    patterns = list(islice(_numbers(readme.read_text(encoding="utf-8")), lines))
    values = struct.unpack(f"<{lines}d", struct.pack(f"<{lines}Q", *patterns))
    written = rfc8785.dumps(list(values)).decode()[1:-1].split(",")
    text = "".join(f"{bits:x},{one}\n" for bits, one in zip(patterns, written, strict=True))
    assert sha256(text.encode()).hexdigest() == expected


def _numbers(readme: str) -> Iterator[int]:
    """Follow the recipe in the vectors' own words: listed, then serial, then hashed patterns."""
    listed = readme.partition("new BigUint64Array([")[2].partition("])")[0]
    yield from (int(one.strip().removesuffix("n"), 16) for one in listed.split(",") if one.strip())
    yield from range(0x0010000000000000, 0x0010000000000000 + 2000)
    block = bytes(32)
    while True:
        block = sha256(block).digest()
        for bits in struct.unpack("<4Q", block):
            is_finite = (bits >> 52) & 0x7FF != 0x7FF
            if bits & 0x7FFFFFFFFFFFFFFF and is_finite:
                yield bits
