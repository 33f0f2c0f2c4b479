"""Combiners that hold while some sites lie, against slow and obvious twins."""

import itertools
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.aggregation.combiners import combined
from aggregator.aggregation.robust import median, nearest, squared_distances, trimmed_mean
from aggregator.aggregation.spool import Spool, Vector
from schemas.aggregation import CombinerRule, Krum, Mean, Median, TrimmedMean, least_quorum
from tests.aggregator.examples import filled, flat_layout

SEEDS = st.integers(0, 2**32 - 1)
RULES: dict[str, CombinerRule] = {
    "mean": Mean(),
    "median": Median(),
    "trimmed-mean": TrimmedMean(trim=1),
    "krum": Krum(dishonest=1),
    "multi-krum": Krum(dishonest=1, keep=2),
}


def deltas_of(seed: int, *, sites: int, size: int) -> dict[str, Vector]:
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal((sites, size)) * 10.0 ** generator.integers(-4, 4, (sites, 1))
    return {f"S{number:02}": one.astype(np.float32) for number, one in enumerate(drawn)}


def spooled(folder: str, deltas: dict[str, Vector]) -> Spool:
    size = next(iter(deltas.values())).size
    return filled(Spool(Path(folder), flat_layout(size)), deltas)


@settings(max_examples=15)
@given(seed=SEEDS, sites=st.integers(1, 9), chunk=st.integers(1, 40))
def test_the_median_is_the_textbooks_of_each_coordinate(seed: int, sites: int, chunk: int) -> None:
    deltas = deltas_of(seed, sites=sites, size=13)
    expected = [
        statistics.median(float(one[place]) for one in deltas.values()) for place in range(13)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = median(spooled(folder, deltas), tuple(deltas), chunk=chunk)
    assert found.tolist() == np.asarray(expected, dtype=np.float32).tolist()


@settings(max_examples=15)
@given(seed=SEEDS, trim=st.integers(0, 3), more=st.integers(1, 4), chunk=st.integers(1, 40))
def test_the_trimmed_mean_drops_the_extremes_of_each_coordinate(
    seed: int, trim: int, more: int, chunk: int
) -> None:
    deltas = deltas_of(seed, sites=2 * trim + more, size=13)
    expected = [
        statistics.fmean(sorted(float(one[place]) for one in deltas.values())[trim : trim + more])
        for place in range(13)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = trimmed_mean(spooled(folder, deltas), tuple(deltas), trim, chunk=chunk)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def krum_by_hand(deltas: dict[str, Vector], *, dishonest: int, keep: int) -> list[str]:
    """Blanchard et al. 2017, section 4, word for word."""
    scores = {}
    for site, delta in deltas.items():
        apart = sorted(
            float(np.square(delta.astype(float) - other).sum())
            for name, other in deltas.items()
            if name != site
        )
        scores[site] = sum(apart[: len(deltas) - dishonest - 2])
    return sorted(sorted(scores, key=lambda site: (scores[site], site))[:keep])


@settings(max_examples=15)
@given(seed=SEEDS, dishonest=st.integers(1, 2), keep=st.integers(1, 3), chunk=st.integers(1, 99))
def test_krum_keeps_the_updates_with_the_nearest_neighbours(
    seed: int, dishonest: int, keep: int, chunk: int
) -> None:
    deltas = deltas_of(seed, sites=8, size=11)
    with tempfile.TemporaryDirectory() as folder:
        spool = spooled(folder, deltas)
        found = nearest(spool, tuple(deltas), dishonest=dishonest, keep=keep, chunk=chunk)
    assert list(found) == krum_by_hand(deltas, dishonest=dishonest, keep=keep)


def test_distances_of_long_updates_that_are_nearly_alike_do_not_cancel(tmp_path: Path) -> None:
    far = np.full(9, 1e6, dtype=np.float32)
    apart = far.copy()
    apart[0] += 0.5
    spool = spooled(str(tmp_path), {"A": far, "B": apart})
    assert squared_distances(spool, ["A", "B"])[0, 1] == 0.25


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_arrival_order_changes_no_bit(tmp_path: Path, rule: CombinerRule) -> None:
    deltas = deltas_of(5, sites=5, size=50)
    weights = dict.fromkeys(deltas, 1.0)
    found = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(deltas), 0, 120, 13)):
        spool = spooled(str(tmp_path / str(number)), {site: deltas[site] for site in order})
        delta, kept = combined(spool, {site: weights[site] for site in order}, rule)
        found.add((delta.tobytes(), kept))
    assert len(found) == 1


@pytest.mark.parametrize("rule", [RULES["median"], RULES["trimmed-mean"]], ids=["median", "trim"])
def test_which_site_sent_what_changes_no_bit(tmp_path: Path, rule: CombinerRule) -> None:
    deltas = deltas_of(6, sites=5, size=50)
    turned = dict(
        zip(deltas, [*list(deltas.values())[2:], *list(deltas.values())[:2]], strict=True)
    )
    first, second = (
        combined(spooled(str(tmp_path / name), one), dict.fromkeys(one, 1.0), rule)[0]
        for name, one in (("a", deltas), ("b", turned))
    )
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_n_equal_sites_are_one_site(tmp_path: Path, rule: CombinerRule) -> None:
    delta = deltas_of(7, sites=1, size=30)["S00"]
    deltas = {f"S{number}": delta for number in range(7)}
    found, _ = combined(spooled(str(tmp_path), deltas), dict.fromkeys(deltas, 1.0), rule)
    assert found.tobytes() == delta.tobytes()


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES.values() if rule.kind != "mean"], ids=list(RULES)[1:]
)
def test_one_wild_update_among_the_least_quorum_moves_nothing_beyond_the_honest(
    tmp_path: Path, rule: CombinerRule
) -> None:
    generator = np.random.default_rng(8)
    sites = max(5, least_quorum(rule))
    honest = {
        f"S{number}": generator.uniform(-1, 1, 40).astype(np.float32) for number in range(1, sites)
    }
    wild = {"S0": np.full(40, 1e6, dtype=np.float32)}
    spool = spooled(str(tmp_path), honest | wild)
    found, kept = combined(spool, dict.fromkeys(honest | wild, 1.0), rule)
    assert np.abs(found).max() <= 1
    assert rule.kind != "krum" or "S0" not in kept


def test_too_few_sites_are_a_mistake(tmp_path: Path) -> None:
    spool = spooled(str(tmp_path), deltas_of(9, sites=3, size=4))
    with pytest.raises(ValueError, match="leave nothing when 2 are trimmed"):
        trimmed_mean(spool, spool.sites(), 2)
    with pytest.raises(ValueError, match="too few for Krum"):
        nearest(spool, spool.sites(), dishonest=1, keep=1)
    with pytest.raises(ValueError, match="at least one site"):
        median(spool, ())
