"""A site that is gone is waited for, but not in every request of a run."""

from collections.abc import Iterable
from dataclasses import dataclass

from aggregator.flower.away import AWAY_S, LOOK_S, Away

ALL = {"east", "north", "west"}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def looked(away: Away, clock: Clock, here: Iterable[str], *, after_s: float) -> set[str]:
    clock.now += after_s
    return {*away.too_long(ALL - {"east"}, lambda: {*here})}


def test_a_site_is_given_up_when_it_was_away_for_long_enough() -> None:
    clock = Clock()
    away = Away(clock)
    assert looked(away, clock, {"east"}, after_s=0) == set()
    assert looked(away, clock, {"east"}, after_s=AWAY_S - LOOK_S) == set()
    assert looked(away, clock, {"east", "west"}, after_s=LOOK_S) == {"north"}


def test_it_is_not_waited_for_again_until_it_comes_back() -> None:
    clock = Clock()
    away = Away(clock)
    looked(away, clock, {"east"}, after_s=0)
    looked(away, clock, {"east"}, after_s=AWAY_S)
    assert away.too_long({"west"}, lambda: {"east"}) == {"north", "west"}
    assert looked(away, clock, {"east", "west"}, after_s=LOOK_S) == {"north"}
    assert looked(away, clock, ALL, after_s=LOOK_S) == set()
    assert looked(away, clock, {"east", "west"}, after_s=AWAY_S) == set()
    assert looked(away, clock, {"east", "west"}, after_s=AWAY_S) == {"north"}


def test_no_time_counts_while_nobody_is_connected() -> None:
    clock = Clock()
    away = Away(clock)
    looked(away, clock, {"east"}, after_s=0)
    assert looked(away, clock, (), after_s=10 * AWAY_S) == set()
    assert looked(away, clock, {"east"}, after_s=LOOK_S) == set()
    assert looked(away, clock, {"east"}, after_s=AWAY_S - LOOK_S) == set()
    assert looked(away, clock, {"east"}, after_s=LOOK_S) == {"north", "west"}


def test_who_is_connected_is_asked_now_and_then_only() -> None:
    clock, asked = Clock(), list[float]()
    away = Away(clock)

    def connected() -> set[str]:
        asked.append(clock.now)
        return ALL

    for _ in range(100):
        clock.now += LOOK_S / 10
        away.too_long(ALL, connected)
    assert 10 <= len(asked) <= 11
