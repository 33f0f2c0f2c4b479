from statistics import NormalDist

import numpy as np
import pytest

from aggregator.gates.dice import dice_quantile, mean_dice
from aggregator.gates.model_gate import judged
from schemas.dice import DiceHistogram
from schemas.gate import ModelGate

UNIT = 2**20
PATIENTS = [2.0, 1.0, 4.0, 13.0, 30.0, 50.0]


def written(counts: np.ndarray | list[float]) -> DiceHistogram:
    return DiceHistogram(counts=tuple(round(float(one) * UNIT) for one in counts))


def test_the_mean_is_that_of_the_middles_and_its_noise_is_that_simulated() -> None:
    clean = mean_dice(written(PATIENTS), noise_multiplier=2.0, min_weight=10)
    middles = (np.arange(6) + 0.5) / 6
    assert clean is not None
    assert clean.value == pytest.approx(np.dot(PATIENTS, middles) / 100)
    generator = np.random.default_rng(0)
    loud = [
        mean_dice(
            written(PATIENTS + generator.normal(0, 2.0, 6)), noise_multiplier=2.0, min_weight=10
        )
        for _ in range(1000)
    ]
    assert clean.noise == pytest.approx(np.std([one.value for one in loud if one]), rel=0.1)
    drawn = [
        np.dot(generator.multinomial(100, np.array(PATIENTS) / 100), middles) / 100
        for _ in range(1000)
    ]
    assert clean.sampling == pytest.approx(np.std(drawn), rel=0.1)


def test_too_few_patients_have_no_mean_and_none_no_quantile() -> None:
    assert mean_dice(written([3, 4]), noise_multiplier=None, min_weight=10) is None
    assert mean_dice(written([-3, 1]), noise_multiplier=1.0, min_weight=-5) is None
    none = dice_quantile(written([-3, 1]), 0.5, noise_multiplier=1.0, reach=2)
    assert none is None


@pytest.mark.parametrize(("share", "bin_"), [(0.02, 0), (0.05, 2), (0.5, 4), (0.9, 5)])
def test_without_noise_a_quantile_is_its_bin(share: float, bin_: int) -> None:
    found = dice_quantile(written(PATIENTS), share, noise_multiplier=None, reach=2)
    assert found == pytest.approx((bin_ / 6, (bin_ + 1) / 6))


def test_noise_and_sampling_widen_a_quantile_and_it_holds_the_true_one() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        loud = written(PATIENTS + generator.normal(0, 3.0, 6))
        found = dice_quantile(loud, 0.25, noise_multiplier=3.0, reach=1.96)
        assert found is not None
        held += found[0] <= 4 / 6 <= 5 / 6 <= found[1]
        more = dice_quantile(loud, 0.25, noise_multiplier=3.0, reach=1.96, sampling=True)
        assert more is not None
        assert more[0] <= found[0] <= found[1] <= more[1]
    assert held / 400 >= 0.94


REACH = NormalDist().inv_cdf((1 + ModelGate().confidence) / 2)
DIGEST = "sha256:" + "0" * 64
GOOD, BAD = [0.0, 0.0, 5.0, 45.0], [5.0, 30.0, 10.0, 5.0]


@pytest.mark.parametrize(
    ("before", "after", "outcome", "reason"),
    [
        (None, GOOD, "accepted", "stratified Dice 0.850 reaches the floor 0.500"),
        (None, BAD, "rejected", "stratified Dice 0.450 misses the floor 0.500"),
        (GOOD, GOOD, "accepted", "stratified Dice rose by 0.000"),
        (GOOD, BAD, "rejected", "stratified Dice fell by 0.400, over the margin 0.020"),
        (BAD, [0.0] * 4, "inconclusive", "0 sites have a figure of their own"),
    ],
)
def test_a_segmentation_s_models_are_held_against_each_other_by_dice(
    before: list[float] | None, after: list[float], outcome: str, reason: str
) -> None:
    verdict = judged(
        {"A": written(after), "B": written(after)},
        None if before is None else {"A": written(before), "B": written(before)},
        gate=ModelGate(),
        noise_multiplier=None,
        binding=(1, DIGEST, DIGEST),
    )
    assert (verdict.metric, verdict.auroc, verdict.outcome) == ("dice", None, outcome)
    assert reason in verdict.reason
    weights = [(one.patients, one.negatives, one.positives) for one in verdict.sites]
    assert weights == [(sum(after), None, None)] * 2
    for one in verdict.sites:
        told = dice_quantile(written(after), 0.1, noise_multiplier=None, reach=REACH, sampling=True)
        assert one.lowest_tenth == (None if one.dice is None else told)
