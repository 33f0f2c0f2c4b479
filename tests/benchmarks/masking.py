"""What masking takes: a site's time in the five exchanges, bytes that leave, and the unmasking.

   python -m tests.benchmarks.masking [--parameters N] [--repeats N] [--json]

* 7 million float32 by default. `client_s`: by the number of sites, all that one of them computes,
  from making keys to telling shares, encoding included; the median over repeats.
* `client_vs_digest`: the same over the SHA-256 of the plain update, which every protection takes.
* `upload_ratio`: what one of 50 sites sends beside its envelopes, over the float32 values alone.
* `unmask_s`: the aggregator's work after the last reply, at 50 sites of which a tenth dropped: the
  secrets from their shares, and the masks off the sum. Every sum is held against the plain one.
* `encryption_vs_tenseal`, `longest_block_s`: of encryption, and of 100,000 parameters at most; see
  `tests.benchmarks._encryption`.
"""

import argparse
import hashlib
import json
import statistics
import time
from typing import Any

import numpy as np

from aggregator.protection.unmasking import Roll, unmask
from hospital_node.protection import masking
from schemas.protection.fixed_point import Elements, encoded, ring_for
from schemas.protection.terms import Terms
from tests.attempts import Attempt, names, terms
from tests.benchmarks import _encryption

SITES = (4, 10, 50)
BOUND, FRACTION_BITS = 10.0, 24


def plain(size: int, number: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return one site's delta."""
    drawn = np.random.default_rng(number).standard_normal(size, dtype=np.float32)
    return drawn * np.float32(1e-3)


def client(attempt: Attempt, site: str, values: "np.ndarray[Any, np.dtype[np.float32]]") -> float:
    """Return the seconds of one site's own work; the others' parts are there already."""
    agreed, sites = attempt.terms, attempt.terms.sites
    others = {one: key for one, key in attempt.keys.items() if one != site}
    begun = time.perf_counter()
    part = masking.begun(agreed.context, site)
    own = part.public
    seconds = time.perf_counter() - begun
    attempt.parts[site], attempt.keys[site] = part, own
    attempt.share([one for one in sites if one != site])
    begun = time.perf_counter()
    part, _ = masking.shared(part, agreed, others | {site: own})
    vector = encoded(values, agreed.ring, share=1 / len(sites))
    part = masking.masked(part, agreed, attempt.boxes_for(site), vector)
    part = masking.agreed(part, agreed, sites)
    masking.unmasked(part, agreed, sites)
    return seconds + time.perf_counter() - begun


def clients(count: int, size: int, repeats: int) -> list[float]:
    """Return the seconds of one of so many sites, once for each repeat."""
    values, found = plain(size, 0), []
    for _ in range(repeats):
        attempt = Attempt(wide_terms(count), {})
        attempt.advertise(names(count))
        found.append(client(attempt, names(count)[0], values))
    return found


def wide_terms(count: int) -> Terms:
    """Return the terms of so many sites."""
    return terms(count, ring_for(BOUND, FRACTION_BITS, sites=count))


def opened(count: int, size: int, repeats: int) -> tuple[list[float], float]:
    """Return the seconds of unmasking with a tenth dropped, and the bytes sent over float32."""
    agreed, everyone = wide_terms(count), names(count)
    left = everyone[: count - count // 10]
    attempt = Attempt(agreed, {})
    attempt.advertise(everyone)
    attempt.share(everyone)
    total, expected = (np.zeros(size, agreed.ring.dtype) for _ in range(2))
    value = plain(size, 1)
    for site in everyone:
        vector: Elements = encoded(value, agreed.ring, share=1 / count)
        if site in left:
            expected += vector
        attempt.parts[site] = masking.masked(
            attempt.parts[site], agreed, attempt.boxes_for(site), vector
        )
        if site in left:
            total += vector
            attempt.values[site] = vector[:0]
    attempt.agree(left)
    attempt.unmask(left, left)
    roll = Roll(attempt.keys, everyone, left)
    found = []
    for _ in range(repeats):
        again = total.copy()
        begun = time.perf_counter()
        unmask(again, agreed, roll, attempt.revealed)
        found.append(time.perf_counter() - begun)
        if not (again == expected).all():
            message = "the unmasked sum is not the plain one"
            raise RuntimeError(message)
    boxes = sum(len(one) for one in attempt.boxes[everyone[0]].values())
    shares = 66 * count
    return found, (total.nbytes + boxes + shares) / (4 * size)


def compared(size: int, repeats: int) -> dict[str, Any]:
    """Measure everything; the digest is taken between the sites' work, beside each repeat."""
    content = plain(size, 0).tobytes()
    seconds: dict[int, list[float]] = {count: [] for count in SITES}
    digests = []
    for _ in range(repeats):
        begun = time.perf_counter()
        hashlib.sha256(content).digest()
        digests.append(time.perf_counter() - begun)
        for count in SITES:
            seconds[count] += clients(count, size, 1)
    unmasking, upload = opened(max(SITES), size, repeats)
    digest = statistics.median(digests)
    encryption = _encryption.measured(min(size, _encryption.PARAMETERS), repeats=3 * repeats)
    return {
        "parameters": size,
        "repeats": repeats,
        "client_s": {str(one): round(statistics.median(seconds[one]), 4) for one in SITES},
        "client_vs_digest": {
            str(one): round(statistics.median(seconds[one]) / digest, 2) for one in SITES
        },
        "upload_ratio": round(upload, 5),
        "unmask_s": round(statistics.median(unmasking), 3),
        **{name: round(one, 4) for name, one in encryption.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parameters", type=int, default=7_000_000, metavar="N")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    asked = parser.parse_args()
    told = compared(asked.parameters, asked.repeats)
    print(json.dumps(told, indent=None if asked.json else 2))  # noqa: T201


if __name__ == "__main__":
    main()
