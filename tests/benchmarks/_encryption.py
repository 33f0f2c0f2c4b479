"""Encrypting a head-sized model: in a process apart, held against TenSEAL called directly.

* `encryption_vs_tenseal`: encrypting 100,000 parameters in the node's own way, ciphertexts in hand,
  over TenSEAL with the same parameters and key in this process, bytes in hand.
* `longest_block_s`: the longest time for which the main thread could not go on while another one
  encrypted, added up four sites' ciphertexts and opened the sum.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tenseal

from hospital_node.protection import apart
from schemas.protection import ciphertexts

PARAMETERS = 100_000
SITES = 4
_TICK_S = 0.001


def measured(parameters: int = PARAMETERS, *, repeats: int = 15) -> dict[str, float]:
    """Return both figures; the ratio is of medians of interleaved repeats."""
    values = np.random.default_rng(0).normal(0.0, 0.02, parameters)
    key = apart.new_key()
    context = tenseal.context_from(key, n_threads=1)
    ours, direct = list[float](), list[float]()
    for number in range(repeats + 1):
        begun = time.perf_counter()
        apart.encrypted(key, values)
        between = time.perf_counter()
        for start in range(0, parameters, ciphertexts.SLOTS):
            tenseal.ckks_vector(context, values[start : start + ciphertexts.SLOTS]).serialize()
        if number:  # the first repeat starts the process and reads the key
            ours.append(between - begun)
            direct.append(time.perf_counter() - between)
    return {
        "encryption_s": statistics.median(ours),
        "encryption_vs_tenseal": statistics.median(ours) / statistics.median(direct),
        "longest_block_s": _longest_block(key, values),
    }


def _longest_block(key: bytes, values: "np.typing.NDArray[np.float64]") -> float:
    """Let this thread tick while another one goes through a round's work."""
    longest, last = 0.0, time.perf_counter()
    with ThreadPoolExecutor(1) as other:
        work = other.submit(_worked, key, values)
        while not work.done():
            time.sleep(_TICK_S)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        work.result()
    return longest - _TICK_S


def _worked(key: bytes, values: "np.typing.NDArray[np.float64]") -> None:
    columns = {f"s{number}": apart.encrypted(key, values) for number in range(SITES)}
    total = apart.summed(columns, values.size)
    opened = apart.decrypted(key, total, values.size)
    if not np.allclose(opened, SITES * values, rtol=0, atol=1e-6):
        message = "the sum that was opened is not the sum"
        raise RuntimeError(message)
