"""Why the relay does not let a node in: a key that is not enrolled, or a clock that is off."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from schemas.errors import EnvelopeRefused

_CLOCKS_APART_S = 5.0


def turned_away(response: httpx.Response) -> EnvelopeRefused:
    """Say why the relay does not let this node in, as far as it can be told from here."""
    apart_s = _ahead_s(response)
    if response.status_code == httpx.codes.UNAUTHORIZED and abs(apart_s) > _CLOCKS_APART_S:
        message = (
            f"connection refused: this machine's clock is {abs(apart_s):.0f} s "
            f"{'ahead of' if apart_s > 0 else 'behind'} the aggregator's, "
            f"at most {_CLOCKS_APART_S:.0f} s are allowed"
        )
        return EnvelopeRefused(message, next_step="set the clock by NTP on both machines")
    message = (
        f"connection refused: the aggregator does not know this node's key "
        f"(HTTP {response.status_code}); it was not approved, or was revoked"
    )
    return EnvelopeRefused(message, next_step="ask the aggregator: aggregator roster list")


def _ahead_s(response: httpx.Response) -> float:
    """Return by how many seconds this clock is ahead of the answer's; 0 when it does not say."""
    try:
        there = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return 0.0
    return (datetime.now(UTC) - there).total_seconds()
