"""The strings that may cross a boundary."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.names import (
    Digest,
    Moment,
    Name,
    PublicKey,
    SiteName,
    Text,
    Version,
    digest_of,
    moment_of,
    now,
)

KINDS: dict[str, TypeAdapter[str]] = {
    "digest": TypeAdapter(Digest),
    "moment": TypeAdapter(Moment),
    "name": TypeAdapter(Name),
    "public key": TypeAdapter(PublicKey),
    "site": TypeAdapter(SiteName),
    "text": TypeAdapter(Text),
    "version": TypeAdapter(Version),
}

FITS = {
    "digest": ["sha256:" + "0a" * 32],
    "moment": ["2026-11-20T09:08:07.006Z", "2024-02-29T23:59:59.999Z"],
    "name": ["a", "0", "run-20261120.1_b", "x" * 127],
    "public key": ["A" * 43 + "=", "//++" * 10 + "AAw="],
    "site": ["a", "St_Mary-2", "x" * 63],
    "text": ["", "x" * 2000, "free, for people: \u00e9\n"],
    "version": ["0.0.0", "1.20.300", "999999.0.0"],
}

DOES_NOT_FIT = {
    "digest": ["", "0a" * 32, "sha256:" + "0A" * 32, "sha512:" + "0a" * 32, "sha256:" + "0" * 65],
    "moment": [
        "2026-11-20T09:08:07Z",
        "2026-11-20T09:08:07.006",
        "2026-11-20T09:08:07.006+00:00",
        "2026-11-20 09:08:07.006Z",
        "2026-11-20T09:08:07.0060Z",
        "2026-13-20T09:08:07.006Z",
        "2025-02-29T09:08:07.006Z",
        "2026-11-20T24:08:07.006Z",
        "2026-11-20T09:08:60.006Z",
        "\u0662\u0660\u0662\u0666-11-20T09:08:07.006Z",
    ],
    "name": ["", ".hidden", "-flag", "a/b", "a\\b", "a b", "a\0", "caf\u00e9", "x" * 128, ".."],
    "public key": [
        "A" * 44,
        "A" * 42 + "==",
        "A" * 43,
        "A" * 42 + "B=",  # the same 32 bytes as A...A=, spelt otherwise
        "_" * 43 + "=",
    ],
    "site": ["", "a.b", "_a", "a/b", "x" * 64],
    "text": ["x" * 2001],
    "version": ["1", "1.2", "1.2.3.4", "1.2.3-rc1", "v1.2.3", "1000000.0.0", "1.2.\u0663"],
}


@pytest.mark.parametrize(
    ("kind", "text"), [(k, one) for k, listed in FITS.items() for one in listed]
)
def test_these_fit(kind: str, text: str) -> None:
    assert KINDS[kind].validate_python(text, strict=True) == text


@pytest.mark.parametrize(
    ("kind", "text"), [(k, one) for k, listed in DOES_NOT_FIT.items() for one in listed]
)
def test_these_do_not_fit(kind: str, text: str) -> None:
    with pytest.raises(ValidationError):
        KINDS[kind].validate_python(text, strict=True)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"text"}))
def test_no_line_end_slips_in_at_the_end(kind: str) -> None:
    for text in FITS[kind]:
        with pytest.raises(ValidationError):
            KINDS[kind].validate_python(text + "\n", strict=True)


def test_a_day_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValidationError, match="there is no such day or time") as refused:
        KINDS["moment"].validate_python("2025-02-29T09:08:07.006Z", strict=True)
    assert "Invalid isoformat" not in str(refused.value)


@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the zone is drawn below
        max_value=datetime(9998, 12, 31),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(
            lambda minutes: timezone(timedelta(minutes=minutes))
        ),
    )
)
def test_a_moment_is_the_instant_in_utc_cut_to_milliseconds(instant: datetime) -> None:
    moment = moment_of(instant)
    assert KINDS["moment"].validate_python(moment, strict=True) == moment
    late = instant - datetime.fromisoformat(moment)
    assert timedelta(0) <= late < timedelta(milliseconds=1)


def test_now_is_now() -> None:
    before = datetime.now(UTC)
    found = datetime.fromisoformat(now())
    assert before - timedelta(milliseconds=1) < found <= datetime.now(UTC)


def test_a_digest_is_sha256_and_says_so() -> None:
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of(b"") == digest_of(memoryview(b"")) == empty
