"""Which images are used, whatever the order in which they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hospital_node.cohort.selection import Arrival, Selection, selected

STORIES = {
    "two images": (["1 a P 0", "2 b P 1"], 9, "ab", []),
    "the same image twice of one patient": (["1 a P 0", "2 a P 0"], 9, "a", ["duplicate"]),
    "the same file twice": (["1 a P 0", "1 a P 0"], 9, "a", ["duplicate"]),
    "one image under two patients": (
        ["1 a P 0", "2 a Q 0", "3 b Q 0"],
        9,
        "b",
        ["duplicate-contradicts"] * 2,
    ),
    "one image under two labels": (
        ["1 a P 0", "2 a P 1", "3 b P 0"],
        9,
        "b",
        ["duplicate-contradicts"] * 2,
    ),
    "two images under one UID": (
        ["1 a P 0", "1 b P 0", "2 c P 0"],
        9,
        "c",
        ["instance-repeated"] * 2,
    ),
    "too many images of one patient": (
        ["1 d P 0", "2 a P 0", "3 b P 0", "4 c Q 0"],
        2,
        "abc",
        ["over-patient-limit"],
    ),
    "a duplicate does not count for the limit": (
        ["1 a P 0", "2 a P 0", "3 b P 0"],
        2,
        "ab",
        ["duplicate"],
    ),
}


def arrivals(lines: list[str]) -> list[Arrival]:
    listed = []
    for position, line in enumerate(lines):
        instance, image, patient, label = line.split()
        named = ("e" if patient == "P" else "f") * 32
        listed.append(
            Arrival("sha256:" + image * 64, named, "train", int(label), position, instance)
        )
    return listed


@pytest.mark.parametrize(("lines", "limit", "used", "refused"), STORIES.values(), ids=STORIES)
def test_the_stories_of_doubtful_images(
    lines: list[str], limit: int, used: str, refused: list[str]
) -> None:
    result = selected(arrivals(lines), max_images_per_patient=limit)

    assert [one.image[-1] for one in result.used] == list(used)
    assert [code for code, _ in result.refused] == refused


def codes(result: Selection) -> list[str]:
    return sorted(code for code, _ in result.refused)


LINES = st.lists(
    st.tuples(
        st.sampled_from("123456"),
        st.sampled_from("abcd"),
        st.sampled_from("PQ"),
        st.sampled_from("01"),
    ).map(" ".join),
    max_size=12,
)


@given(LINES, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_choice_adds_up_and_does_not_depend_on_the_order(
    lines: list[str], limit: int, random: object
) -> None:
    result = selected(arrivals(lines), max_images_per_patient=limit)
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # Hypothesis's Random
    again = selected(arrivals(shuffled), max_images_per_patient=limit)

    assert len(result.used) + len(result.refused) == len(lines)
    assert [one.row for one in again.used] == [one.row for one in result.used]
    assert codes(again) == codes(result)
    assert len({one.image for one in result.used}) == len(result.used)
