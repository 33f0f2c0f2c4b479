"""The benchmark of masking runs over the code as it stands, and its sums are exact."""

from tests.benchmarks.masking import compared


def test_every_figure_of_a_small_update_is_there() -> None:
    told = compared(20_000, 1)
    assert set(told["client_s"]) == {"4", "10", "50"}
    assert min(told["client_s"].values()) > 0
    assert told["unmask_s"] > 0
    assert told["encryption_vs_tenseal"] > 0
    assert told["longest_block_s"] > 0
    # Of so small an update boxes and shares are a part that shows.
    assert 1 < told["upload_ratio"] < 1.2
