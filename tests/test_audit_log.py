"""The benchmark of the audit log runs over the code as it stands."""

from tests.benchmarks.audit_log import told


def test_a_short_log_is_written_opened_proved_and_verified() -> None:
    found = told(3000, 5)
    assert set(found) == {
        "append_ms_beyond_fsync",
        "open_s",
        "proof_ms",
        "verify_events_per_s",
        "verify_peak_mb",
    }
    assert found["verify_events_per_s"] > 0
    assert found["open_s"] > 0
