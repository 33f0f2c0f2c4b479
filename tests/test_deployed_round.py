"""The figures of the deployed benchmark follow from what its processes told."""

import pytest

from tests.benchmarks.deployed_round import Measured, told


def test_the_first_round_is_left_out_and_work_is_taken_off() -> None:
    small = Measured([9.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5], {})
    memory = {"model_bytes": 100_000_000, "before_bytes": 10**8, "peak_bytes": 6 * 10**8}
    large = Measured([60.0, 5.0, 5.0], [1.0, 1.0, 1.0, 1.0], [0.1], memory)
    found = told(small, large)
    assert found == pytest.approx(
        {"overhead_s": 2.0, "round_s": 3.5, "large_mb_per_s": 50.0, "aggregator_copies": 5.0}
    )
