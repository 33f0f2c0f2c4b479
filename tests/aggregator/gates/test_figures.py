import numpy as np
import pytest

from aggregator.gates.figures import auroc_sampling, edge, figures, interval
from aggregator.gates.metrics import auroc
from schemas.gate import Estimate, Figures
from schemas.update import Histogram
from tests.aggregator.examples import histogram, noised, of_scores

NAMES = ("sensitivity", "specificity", "calibration_error", "calibration_in_the_large")


def read(found: Histogram, noise: float | None = None, *, least: float = 1.0) -> Figures:
    return figures(found, threshold=0.5, noise_multiplier=noise, min_class_weight=least)


def value(found: Histogram, name: str, noise: float | None = None) -> float:
    return estimate(found, name, noise).value


def estimate(found: Histogram, name: str, noise: float | None = None) -> Estimate:
    one = getattr(read(found, noise), name)
    assert isinstance(one, Estimate)
    return one


def scored(seed: int = 0, *, negatives: int = 120, positives: int = 60) -> Histogram:
    generator = np.random.default_rng(seed)
    low, high = generator.normal(-1, 1.2, negatives), generator.normal(0.8, 1.2, positives)
    return of_scores(1 / (1 + np.exp(-low)), 1 / (1 + np.exp(-high)))


def test_sensitivity_and_specificity_count_from_the_threshold_on() -> None:
    found = histogram([3, 4, 2, 1], [1, 2, 3, 4])
    assert value(found, "sensitivity") == pytest.approx(7 / 10)
    assert value(found, "specificity") == pytest.approx(7 / 10)
    low = figures(found, threshold=0.25, noise_multiplier=None, min_class_weight=1)
    assert low.sensitivity is not None
    assert low.specificity is not None
    assert (low.sensitivity.value, low.specificity.value) == pytest.approx((0.9, 0.3))


@pytest.mark.parametrize(
    ("threshold", "bins", "expected"), [(0.5, 10, 5), (0.01, 10, 1), (0.99, 10, 9), (0.5, 5, 2)]
)
def test_the_nearest_inner_edge_stands_for_a_threshold(
    threshold: float, bins: int, expected: int
) -> None:
    assert edge(threshold, bins) == expected


CALIBRATIONS = {
    "each bin as its middle says": (histogram([3, 1], [1, 3]), 0.0, 0.0),
    "always sure and right": (histogram([5, 0], [0, 5]), 0.25, 0.0),
    "always sure and wrong": (histogram([0, 5], [5, 0]), 0.75, 0.0),
    "all scores too low": (histogram([1, 0], [3, 0]), 0.5, 0.5),
}


@pytest.mark.parametrize(("found", "error", "large"), CALIBRATIONS.values(), ids=CALIBRATIONS)
def test_calibration_is_the_gap_to_the_middle_of_the_bin(
    found: Histogram, error: float, large: float
) -> None:
    assert value(found, "calibration_error") == pytest.approx(error)
    assert value(found, "calibration_in_the_large") == pytest.approx(large)


def test_a_figure_that_too_few_patients_bear_is_undefined() -> None:
    found = read(histogram([2, 0], [20, 33]), least=10.0)
    assert found.specificity is None
    assert found.sensitivity is not None
    assert found.calibration_error is not None
    assert read(histogram([0, 0], [0, 0])) == Figures()
    assert read(histogram([-3, 1], [1, 0]), 1.0, least=5.0) == Figures()


@pytest.mark.parametrize("name", NAMES)
def test_the_noise_of_a_figure_is_that_simulated(name: str) -> None:
    clean, generator = scored(), np.random.default_rng(2)
    loud = [value(noised(clean, 1.5, generator), name, 1.5) for _ in range(1500)]
    found = estimate(clean, name, 1.5)
    # Where noise folds at 0 the delta method takes the larger, straight slope.
    assert np.std(loud) <= found.noise * 1.1
    assert name == "calibration_error" or np.std(loud) == pytest.approx(found.noise, rel=0.1)
    assert found.value - 0.01 <= np.mean(loud) <= found.value + found.bias + 0.01


@pytest.mark.parametrize("name", ["sensitivity", "specificity", "calibration_in_the_large"])
def test_the_sampling_of_a_figure_is_that_of_drawn_patients(name: str) -> None:
    generator = np.random.default_rng(3)
    scores = generator.uniform(0, 1, (400, 150))
    labels = generator.uniform(0, 1, scores.shape) < scores
    found = [
        estimate(of_scores(each[~label], each[label]), name)
        for each, label in zip(scores, labels, strict=True)
    ]
    spread = np.std([one.value for one in found])
    assert np.mean([one.sampling for one in found]) == pytest.approx(spread, rel=0.12)


def test_the_sampling_of_auroc_is_that_of_drawn_patients() -> None:
    # Hanley and McNeil's Q1 and Q2 are exact for negative exponential scores.
    generator = np.random.default_rng(4)
    areas = []
    for _ in range(500):
        low, high = generator.exponential(1.0, 60), generator.exponential(4.0, 40)
        areas.append(auroc(of_scores(1 - np.exp(-low / 3), 1 - np.exp(-high / 3), bins=200)))
    assert auroc_sampling(0.8, 60, 40) == pytest.approx(
        float(np.std(np.asarray(areas, dtype=float))), rel=0.1
    )


def test_a_perfect_figure_is_not_certain() -> None:
    found = estimate(histogram([10, 0], [0, 10]), "sensitivity")
    assert found.value == 1.0
    assert found.sampling > 0.03
    assert auroc_sampling(1.0, 10, 10) > 0.0


def test_an_interval_holds_the_noise_alone_or_the_sampling_too() -> None:
    found = Estimate(value=0.2, noise=0.03, sampling=0.04, bias=0.05)
    assert interval(found, 2.0, sampling=False) == pytest.approx((0.09, 0.26))
    assert interval(found, 2.0, sampling=True) == pytest.approx((0.05, 0.3))
