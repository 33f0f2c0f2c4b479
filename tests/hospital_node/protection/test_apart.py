"""Encrypting, adding and decrypting in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import tenseal
from hypothesis import given, settings
from hypothesis import strategies as st

from hospital_node.protection import apart, ckks
from schemas.errors import ArraysRefused, FederationError, PartRefused
from schemas.protection import ciphertexts
from schemas.protection.messages import framed
from tests.benchmarks import _encryption

KEY = ckks.new_key()
SIZE = ciphertexts.SLOTS + 5
VALUES = np.linspace(-1.0, 1.0, SIZE)


def written(context: tenseal.Context, **kept: bool) -> bytes:
    names = ("public_key", "secret_key", "galois_keys", "relin_keys")
    content = context.serialize(**{f"save_{name}": kept.get(name, False) for name in names})
    assert isinstance(content, bytes)
    return content


def context(
    *bits: int, scale_bits: int = 40, ring: int = ciphertexts.RING, kind: str = "SYMMETRIC"
) -> tenseal.Context:
    made = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        poly_modulus_degree=ring,
        coeff_mod_bit_sizes=list(bits),
        n_threads=1,
        encryption_type=tenseal.ENCRYPTION_TYPE[kind],
    )
    made.global_scale = 2.0**scale_bits
    return made


OURS = tenseal.context_from(KEY, n_threads=1)
PUBLIC = context(60, 40, 60, kind="ASYMMETRIC")
WEAK = context(40, 20, 40, scale_bits=20, ring=4096)


@pytest.mark.parametrize(("sites", "largest"), [(1, 1.0), (9, 100.0), (4, 1e6), (3, 1e9)])
def test_the_error_of_a_sum_is_not_over_the_one_that_plans_are_held_to(
    sites: int, largest: float
) -> None:
    values = np.random.default_rng(sites).uniform(-largest, largest, (sites, SIZE)) / sites
    columns = {f"s{place}": apart.encrypted(KEY, one) for place, one in enumerate(values)}
    exact = values.sum(axis=0)
    found = apart.decrypted(KEY, apart.summed(columns, SIZE), SIZE) - exact
    assert found.std() <= 1.1 * ciphertexts.error(largest, sites=sites)
    assert found.std() >= 2.0**-34


@settings(max_examples=8, deadline=None)
@given(
    size=st.sampled_from([1, 7, ciphertexts.SLOTS, SIZE]),
    largest=st.sampled_from([0.0, 1e-9, 1.0, 1e9]),
    seed=st.integers(0, 2**32 - 1),
)
def test_ciphertexts_are_as_many_and_as_long_as_any_plan_may_expect(
    size: int, largest: float, seed: int
) -> None:
    values = np.random.default_rng(seed).uniform(-largest, largest, size)
    made = apart.encrypted(KEY, values)
    whole = framed(made)
    assert ciphertexts.are_whole(whole, size)
    assert len(whole) <= ciphertexts.settled_bytes(size, sites=1)
    short, long = bytes(ciphertexts.LEAST_BYTES - 1), bytes(ciphertexts.MOST_BYTES + 1)
    for wrong in (
        b"",
        b"x",
        whole[:-1],
        whole + b"x",
        whole + framed([made[0]]),
        framed(made[1:]),
        framed([*made[1:], short]),
        framed([*made[1:], long]),
        bytes(len(whole)),
        b"\xff" * len(whole),
    ):
        assert not ciphertexts.are_whole(wrong, size)


@settings(max_examples=8, deadline=None)
@given(
    size=st.sampled_from([1, 7, ciphertexts.SLOTS, SIZE]),
    sites=st.integers(1, 12),
    largest=st.sampled_from([1e-6, 1.0, 1000.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_opened_sum_is_the_sum_to_2_to_the_minus_24(
    size: int, sites: int, largest: float, seed: int
) -> None:
    values = np.random.default_rng(seed).uniform(-largest, largest, (sites, size))
    columns = {f"s{place:02d}": apart.encrypted(KEY, one) for place, one in enumerate(values)}
    opened = apart.decrypted(KEY, apart.summed(columns, size), size)
    assert np.abs(opened - values.sum(axis=0)).max() <= 2.0**-24


def test_whoever_adds_the_same_ciphertexts_gets_the_same_bytes() -> None:
    columns = {site: apart.encrypted(KEY, VALUES) for site in ("b", "a", "c")}
    first = apart.summed(columns, SIZE)
    apart.dismiss()
    assert apart.summed(dict(sorted(columns.items())), SIZE) == first
    assert apart.encrypted(KEY, VALUES) != columns["a"]


def test_a_sum_under_another_key_is_no_sum() -> None:
    columns = {"a": apart.encrypted(KEY, VALUES), "b": apart.encrypted(apart.new_key(), VALUES)}
    opened = apart.decrypted(KEY, apart.summed(columns, SIZE), SIZE)
    assert np.abs(opened).max() > 2.0**40


def vector(made: tenseal.Context, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bytes:
    content = tenseal.ckks_vector(made, values).serialize()
    assert isinstance(content, bytes)
    return content


MALFORMED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "none": lambda _: [],
    "too few": lambda told: told[:1],
    "too many": lambda told: [*told, told[1]],
    "in another order": lambda told: told[::-1],
    "empty": lambda told: [b"", told[1]],
    "cut off": lambda told: [told[0][:-1], told[1]],
    "with more behind": lambda told: [told[0] + b"\0", told[1]],
    "zeros": lambda told: [bytes(len(told[0])), told[1]],
    "multiplied": lambda told: [
        (tenseal.ckks_vector_from(OURS, told[0]) * 2.0).serialize(),
        told[1],
    ],
    "of another scale": lambda told: [
        tenseal.ckks_vector(OURS, VALUES[: ciphertexts.SLOTS], scale=2.0**30).serialize(),
        told[1],
    ],
    "of another ring": lambda told: [vector(WEAK, VALUES[:2048]), told[1]],
    "a key": lambda told: [KEY, told[1]],
}


@pytest.mark.parametrize("altered", MALFORMED.values(), ids=MALFORMED)
def test_malformed_ciphertexts_are_refused_by_their_site(
    altered: Callable[[list[bytes]], list[bytes]],
) -> None:
    told = apart.encrypted(KEY, VALUES)
    with pytest.raises(PartRefused, match="the ciphertexts of b are malformed"):
        apart.summed({"a": told, "b": altered(told)}, SIZE)
    assert len(apart.summed({"a": told}, SIZE)) == 2


KEYS: dict[str, bytes] = {
    "empty": b"",
    "cut off": KEY[:-1],
    "with more behind": KEY + b"\0",
    "without its secret": written(OURS),
    "with a public key beside it": written(PUBLIC, secret_key=True, public_key=True),
    "of a small ring": written(WEAK, secret_key=True),
    "of larger moduli": written(context(60, 50, 60), secret_key=True),
    "of another scale": written(context(60, 40, 60, scale_bits=30), secret_key=True),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_key_of_other_parameters_encrypts_and_opens_nothing(key: bytes) -> None:
    with pytest.raises(ArraysRefused, match="the run's key is not one of the expected parameters"):
        apart.encrypted(key, VALUES)
    with pytest.raises(ArraysRefused, match="sum or key are not of the expected parameters"):
        apart.decrypted(key, apart.encrypted(KEY, VALUES), SIZE)


def test_a_process_that_dies_costs_its_task_and_no_more() -> None:
    with pytest.raises(FederationError, match="ended before its task"):
        apart.encrypted(KEY, np.full(4, np.nan))
    assert len(apart.encrypted(KEY, VALUES)) == 2


def test_an_idle_process_that_was_killed_is_replaced() -> None:
    apart.new_key()
    [idle] = apart.idle()
    os.kill(idle, signal.SIGKILL)
    os.waitid(os.P_PID, idle, os.WEXITED | os.WNOWAIT)
    assert len(apart.encrypted(KEY, VALUES)) == 2
    assert apart.idle() != [idle]


def test_the_node_itself_never_loads_what_computes_on_ciphertexts() -> None:
    program = (
        "import sys, hospital_node.session, hospital_node.protection.apart;"
        "sys.exit('tenseal' in sys.modules)"
    )
    call = [sys.executable, "-c", program]
    assert subprocess.run(call, check=False).returncode == 0  # noqa: S603 - our own


def test_a_node_without_the_library_says_which_extra_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apart.hold_installed()
    monkeypatch.setitem(sys.modules, "tenseal", None)
    for refused in (apart.hold_installed, apart.new_key):
        with pytest.raises(FederationError, match="TenSEAL is not installed") as found:
            refused()
        assert found.value.next_step == "pip install 'consilium[node,encryption]'"


def test_the_benchmark_opens_the_sum_that_it_measures() -> None:
    figures = _encryption.measured(ciphertexts.SLOTS, repeats=1)
    assert figures.keys() == {"encryption_s", "encryption_vs_tenseal", "longest_block_s"}
    assert all(one > 0 for one in figures.values())
