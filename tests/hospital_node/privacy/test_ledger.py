"""The ledger as stories: what is charged, taken back, repeated and refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hospital_node.privacy.ledger import Ledger, create
from schemas.errors import BudgetExceeded, EnvelopeRefused, FederationError, LedgerDamaged
from schemas.manifest import Part
from tests.hospital_node.privacy.accounts import DELTA, LIMIT, entry, epsilon


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.sqlite")
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


@dataclass(frozen=True)
class Step:
    do: Literal["reserve", "commit", "void"]
    request: str
    part: Part = "train"
    refused: type[FederationError] | None = None


STORIES: dict[str, tuple[list[Step], int]] = {
    "nothing happened": ([], 0),
    "reserve": ([Step("reserve", "a")], 1),
    "commit": ([Step("reserve", "a"), Step("commit", "a")], 1),
    "void": ([Step("reserve", "a"), Step("void", "a")], 0),
    "a repeated reservation": ([Step("reserve", "a"), Step("reserve", "a")], 1),
    "a repeated reservation after commit": (
        [Step("reserve", "a"), Step("commit", "a"), Step("reserve", "a")],
        1,
    ),
    "a voided round reserved again": (
        [Step("reserve", "a"), Step("void", "a"), Step("reserve", "a")],
        1,
    ),
    "void, reserve, commit": (
        [Step("reserve", "a"), Step("void", "a"), Step("reserve", "a"), Step("commit", "a")],
        1,
    ),
    "a round over the limit": (
        [Step("reserve", name) for name in "ab"] + [Step("reserve", "c", refused=BudgetExceeded)],
        2,
    ),
    "room again after a void": (
        [Step("reserve", name) for name in "ab"] + [Step("void", "b"), Step("reserve", "c")],
        2,
    ),
    "a voided round comes back when there is no room": (
        [
            Step("reserve", "a"),
            Step("void", "a"),
            Step("reserve", "b"),
            Step("reserve", "c"),
            Step("reserve", "a", refused=BudgetExceeded),
        ],
        2,
    ),
    "a repetition when there is no room": (
        [Step("reserve", name) for name in "ab"] + [Step("reserve", "a")],
        2,
    ),
    "the other part has its own room": (
        [Step("reserve", name) for name in "ab"] + [Step("reserve", "c", "validation")],
        2,
    ),
    "what left cannot be taken back": (
        [Step("reserve", "a"), Step("commit", "a"), Step("void", "a", refused=LedgerDamaged)],
        1,
    ),
    "what was voided cannot leave": (
        [Step("reserve", "a"), Step("void", "a"), Step("commit", "a", refused=LedgerDamaged)],
        0,
    ),
    "what was never reserved cannot leave": ([Step("commit", "a", refused=LedgerDamaged)], 0),
    "what was never reserved cannot be voided": ([Step("void", "a", refused=LedgerDamaged)], 0),
    "commit and void are idempotent": (
        [
            Step("reserve", "a"),
            Step("commit", "a"),
            Step("commit", "a"),
            Step("reserve", "b"),
            Step("void", "b"),
            Step("void", "b"),
        ],
        1,
    ),
    "an id stands for one release": (
        [Step("reserve", "a"), Step("reserve", "a", "validation", refused=EnvelopeRefused)],
        1,
    ),
    "an id stands for one release after a void": (
        [
            Step("reserve", "a"),
            Step("void", "a"),
            Step("reserve", "a", "validation", refused=EnvelopeRefused),
        ],
        0,
    ),
}


def act(ledger: Ledger, step: Step) -> None:
    match step.do:
        case "reserve":
            ledger.reserve(entry(step.request, step.part), limit=LIMIT, delta=DELTA)
        case "commit":
            ledger.commit(step.request)
        case "void":
            ledger.void(step.request)


@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_with_its_spend_and_so_does_the_file(story: str, path: Path) -> None:
    steps, rounds = STORIES[story]
    with Ledger(path) as ledger:
        for step in steps:
            if step.refused is None:
                act(ledger, step)
            else:
                with pytest.raises(step.refused):
                    act(ledger, step)
        assert ledger.spent("train", delta=DELTA).rdp == epsilon(rounds)
    with Ledger(path) as again:
        assert again.spent("train", delta=DELTA).rdp == epsilon(rounds)


@settings(max_examples=25)
@given(
    steps=st.lists(
        st.builds(Step, st.sampled_from(["reserve", "commit", "void"]), st.sampled_from("abcd")),
        max_size=14,
    )
)
def test_no_sequence_spends_over_the_limit_or_forgets_what_left(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    path = tmp_path_factory.mktemp("sequence") / "ledger.sqlite"
    create(path)
    left: set[str] = set()
    for step in steps:
        with Ledger(path) as ledger:
            try:
                act(ledger, step)
            except FederationError:
                continue
            finally:
                spent = ledger.spent("train", delta=DELTA).rdp
                assert epsilon(len(left)) <= spent <= LIMIT
        if step.do == "commit":
            left.add(step.request)


def test_the_refusal_names_before_after_limit_and_delta(ledger: Ledger) -> None:
    for request in "ab":
        ledger.reserve(entry(request), limit=LIMIT, delta=DELTA)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(entry("c"), limit=LIMIT, delta=DELTA)
    assert refused.value.message == (
        f"round refused: epsilon would rise from {epsilon(2):.3f} to {epsilon(3):.3f}, "
        f"over the limit {LIMIT:.3f} (delta=1e-05)"
    )


def test_a_repetition_returns_the_standing_it_was_given_then(ledger: Ledger) -> None:
    first = ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA)
    ledger.reserve(entry("b"), limit=LIMIT, delta=DELTA)
    assert ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA) == first
    assert first.pld <= first.rdp == epsilon(1)


def test_an_upgrade_between_crash_and_repetition_is_no_other_release(ledger: Ledger) -> None:
    first = ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA)
    upgraded = entry("a").model_copy(update={"software": "2.0"})
    assert ledger.reserve(upgraded, limit=LIMIT, delta=DELTA) == first


def test_entries_are_those_that_count_and_rows_are_all(ledger: Ledger) -> None:
    for request in "ab":
        ledger.reserve(entry(request), limit=LIMIT, delta=DELTA)
    ledger.void("a")
    ledger.commit("b")
    assert ledger.entries() == (entry("b"),)
    assert [(row.entry.request, row.status) for row in ledger.rows()] == [
        ("a", "reserved"),
        ("b", "reserved"),
        ("a", "voided"),
        ("b", "committed"),
    ]


def test_create_leaves_a_ledger_as_it_is_and_keeps_it_private(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.reserve(entry("a"), limit=LIMIT, delta=DELTA)
    create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with Ledger(path) as ledger:
        assert ledger.entries() == (entry("a"),)
