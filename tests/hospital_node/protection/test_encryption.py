"""A site's part under encryption refuses whatever would open more than one sum of enough sites."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hospital_node.protection import encryption
from hospital_node.protection.encryption import CipherPart
from schemas.errors import ArraysRefused, EnvelopeRefused
from schemas.names import digest_of
from schemas.protection.fixed_point import Ring, decoded
from schemas.protection.terms import Terms
from tests.attempts import RING, names, terms

SITES = names(5)
KEY = bytes(range(256)) * 4
NINE = "09" + "00" * 31
INPUTS = {site: digest_of(site.encode()) for site in SITES}
TOTAL, OTHER = digest_of(b"the sum"), digest_of(b"another sum")
SAME = (INPUTS, TOTAL)


@dataclass
class Attempt:
    """Five sites' parts, as they stand."""

    terms: Terms = field(default_factory=lambda: terms(5))
    parts: dict[str, CipherPart] = field(default_factory=dict)
    boxes: bytes = b""

    @property
    def announced(self) -> dict[str, str]:
        return {site: part.public for site, part in self.parts.items()}


def begun(**changes: object) -> Attempt:
    attempt = Attempt(terms(5, RING, **changes))
    for site in SITES:
        attempt.parts[site] = encryption.begun(attempt.terms.context, site, before=None)
    attempt.boxes = encryption.dealt(attempt.parts["s00"], attempt.terms, attempt.announced, KEY)
    return attempt


def test_every_other_site_opens_its_own_box_with_the_key() -> None:
    attempt = begun()
    dealer = ("s00", attempt.announced["s00"])
    for site in SITES[1:]:
        box = encryption.box_for(site, SITES, attempt.boxes)
        part = attempt.parts[site]
        key = encryption.opened_key(part, attempt.terms, dealer=dealer, box=box)
        held = encryption.holding(part, attempt.terms, SITES, key=key, named=digest_of(KEY))
        assert (key, held.key) == (KEY, digest_of(KEY))


def test_a_key_that_a_home_put_back_deals_again_shares_no_keystream_with_the_first() -> None:
    attempt = begun()
    dealer, first = attempt.parts["s00"], attempt.boxes
    second = encryption.dealt(dealer, attempt.terms, attempt.announced, KEY)
    assert len(first) == len(second)
    assert first[:12] != second[:12]
    assert first[12 : 12 + len(KEY)] != second[12 : 12 + len(KEY)]


def test_a_box_that_was_altered_moved_or_replayed_does_not_open() -> None:
    attempt, earlier, other_run = begun(), begun(), begun(run="another")
    part, dealer = attempt.parts["s01"], ("s00", attempt.announced["s00"])
    box = encryption.box_for("s01", SITES, attempt.boxes)
    foreign = encryption.box_for("s02", SITES, attempt.boxes)
    replayed = encryption.box_for("s01", SITES, earlier.boxes)
    altered = bytes([box[0] ^ 1]) + box[1:]
    for wrong in (b"", altered, foreign, replayed, box[:-1]):
        with pytest.raises(EnvelopeRefused, match="the key that s00 made does not open here"):
            encryption.opened_key(part, attempt.terms, dealer=dealer, box=wrong)
    for wrong_dealer in (("s02", dealer[1]), ("s00", attempt.announced["s02"])):
        with pytest.raises(EnvelopeRefused, match="does not open here"):
            encryption.opened_key(part, attempt.terms, dealer=wrong_dealer, box=box)
    with pytest.raises(EnvelopeRefused, match="does not open here"):
        encryption.opened_key(part, other_run.terms, dealer=dealer, box=box)
    with pytest.raises(EnvelopeRefused, match="X25519 key is not usable"):
        encryption.opened_key(part, attempt.terms, dealer=("s00", "00" * 32), box=box)


def test_a_key_that_was_dealt_to_others_is_none_for_this_site() -> None:
    for others in (SITES[1:], SITES[:4]):
        with pytest.raises(EnvelopeRefused, match="the key was dealt to other sites"):
            encryption.box_for("s01" if others == SITES[1:] else "s04", others, b"boxes")


def test_a_key_that_its_maker_did_not_sign_is_not_held() -> None:
    attempt = begun()
    part = attempt.parts["s01"]
    with pytest.raises(EnvelopeRefused, match="not the one that its maker signed"):
        encryption.holding(part, attempt.terms, SITES, key=KEY, named=digest_of(b"another"))
    with pytest.raises(EnvelopeRefused, match="3 sites are left, at least 4 are needed"):
        encryption.holding(part, attempt.terms, SITES[:3], key=KEY, named=digest_of(KEY))


ANNOUNCED: dict[str, tuple[str, Callable[[dict[str, str]], dict[str, str]], str]] = {
    "too few": ("s00", lambda told: {one: told[one] for one in SITES[:3]}, "at least 4 are needed"),
    "another's to make": ("s01", lambda told: told, "the key is another site's to make"),
    "a stranger": ("s00", lambda told: told | {"zoe": NINE}, "names a site that the plan does not"),
    "its own altered": ("s00", lambda told: told | {"s00": NINE}, "own announcement was altered"),
    "a key twice": ("s00", lambda told: told | {"s01": told["s02"]}, "a key stands twice"),
}


@pytest.mark.parametrize(("site", "told", "reason"), ANNOUNCED.values(), ids=ANNOUNCED)
def test_announcements_are_refused(
    site: str, told: Callable[[dict[str, str]], dict[str, str]], reason: str
) -> None:
    attempt = begun()
    with pytest.raises(EnvelopeRefused, match=reason):
        encryption.dealt(attempt.parts[site], attempt.terms, told(attempt.announced), KEY)


def agreed(
    inputs: Mapping[str, str] = INPUTS, *, total: str = TOTAL, before: CipherPart | None = None
) -> CipherPart:
    part = before or begun().parts["s00"].model_copy(update={"own": INPUTS["s00"]})
    return encryption.agreed(part, terms(5), inputs, total=total)


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "one site's, as if it were the sum": (
        {"s01": INPUTS["s01"]},
        "it leaves this site out",
    ),
    "its own alone": ({"s00": INPUTS["s00"]}, "1 sites are left, at least 4 are needed"),
    "too few": ({one: INPUTS[one] for one in SITES[:3]}, "3 sites are left, at least 4"),
    "all but this one": ({one: INPUTS[one] for one in SITES[1:]}, "it leaves this site out"),
    "with a stranger": (INPUTS | {"zoe": OTHER}, "it names a site that the plan does not"),
    "its own altered": (INPUTS | {"s00": OTHER}, "own ciphertexts were altered"),
    "one site's under two names": (
        INPUTS | {"s02": INPUTS["s01"]},
        "the same ciphertexts stand twice among the inputs",
    ),
}


@pytest.mark.parametrize(("inputs", "reason"), REFUSED.values(), ids=REFUSED)
def test_sums_that_would_tell_a_part_are_not_agreed_to(inputs: dict[str, str], reason: str) -> None:
    with pytest.raises(EnvelopeRefused, match=reason):
        agreed(inputs)


def test_a_site_agrees_to_one_sum_in_a_round() -> None:
    part = agreed()
    assert agreed(before=part) == part
    fewer = {one: INPUTS[one] for one in SITES[:4]}
    for inputs, total in ((fewer, TOTAL), (INPUTS, OTHER), (fewer, OTHER)):
        with pytest.raises(EnvelopeRefused, match="agreed to another sum of this round"):
            agreed(inputs, total=total, before=part)
    later = terms(5, attempt=2).context
    with pytest.raises(EnvelopeRefused, match="agreed to a sum of this round already"):
        encryption.begun(later, "s00", before=part)


def test_an_earlier_attempt_does_not_come_back() -> None:
    second = encryption.begun(terms(5, attempt=2).context, "s00", before=None)
    with pytest.raises(EnvelopeRefused, match="a later attempt has begun already"):
        encryption.begun(terms(5).context, "s00", before=second)
    third = encryption.begun(terms(5, attempt=3).context, "s00", before=second)
    assert third.secret != second.secret


def test_the_sum_is_decrypted_when_enough_sites_added_up_the_same() -> None:
    assert encryption.hold_agreements(agreed(), terms(5), dict.fromkeys(SITES[:4], SAME)) == TOTAL


Told = dict[str, tuple[dict[str, str], str]]
FEWER = {one: INPUTS[one] for one in SITES[:4]}
AGREEMENTS: dict[str, tuple[Told, str]] = {
    "none": ({}, "0 sites agree to the sum, 4 are needed"),
    "too few": (dict.fromkeys(SITES[:3], SAME), "3 sites agree to the sum, 4 are needed"),
    "a stranger": (
        dict.fromkeys((*SITES[:4], "zoe"), SAME),
        "an agreement is of a site that is not in the sum",
    ),
    "a split view": (
        dict.fromkeys(SITES[:4], SAME) | {"s03": (FEWER, TOTAL)},
        "s03 has agreed to the sum of other inputs",
    ),
    "another sum of the same": (
        dict.fromkeys(SITES[:4], SAME) | {"s03": (INPUTS, OTHER)},
        "s03 has added the same inputs up to another sum",
    ),
}


@pytest.mark.parametrize(("told", "reason"), AGREEMENTS.values(), ids=AGREEMENTS)
def test_nothing_is_decrypted_without_enough_agreements(told: Told, reason: str) -> None:
    with pytest.raises(EnvelopeRefused, match=reason):
        encryption.hold_agreements(agreed(), terms(5), told)


def test_a_part_that_agreed_to_nothing_or_of_another_attempt_decrypts_nothing() -> None:
    told = dict.fromkeys(SITES, SAME)
    with pytest.raises(EnvelopeRefused, match="this site has agreed to no sum"):
        encryption.hold_agreements(begun().parts["s00"], terms(5), told)
    with pytest.raises(EnvelopeRefused, match="it is about another attempt"):
        encryption.hold_agreements(agreed(), terms(5, round=2), told)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 8.001, -1e30])
def test_values_that_are_not_finite_or_over_the_bound_are_never_encrypted(wrong: float) -> None:
    values = np.zeros(9, np.float32)
    values[4] = wrong
    with pytest.raises(ArraysRefused, match="one is not finite or over 8, the plan's bound"):
        encryption.scaled(values, 8.0, share=0.5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 8.001, 2.0**59])
def test_a_sum_that_cannot_be_one_does_not_leave(wrong: float) -> None:
    with pytest.raises(ArraysRefused, match="it holds a value over 8, the plan's bound of a mean"):
        encryption.rounded(np.array([0.0, wrong]), Ring(32, 20, 8.0))


@given(
    ring=st.sampled_from([Ring(32, 20, 8.0), Ring(64, 24, 1000.0), Ring(32, 8, 2.0**22)]),
    values=st.lists(st.floats(-1, 1), max_size=20),
)
def test_an_opened_sum_leaves_rounded_to_the_nearest_step(ring: Ring, values: list[float]) -> None:
    exact = np.array(values) * ring.bound
    elements = encryption.rounded(exact, ring)
    assert elements.dtype == ring.dtype
    assert np.abs(decoded(elements, ring) - exact).max(initial=0.0) <= ring.step / 2


def test_sites_own_shares_add_up_to_their_weighted_mean() -> None:
    values = np.array([8.0, -8.0, 0.25], np.float32)
    parts = [encryption.scaled(values, 8.0, share=share) for share in (0.25, 0.75)]
    assert (parts[0] + parts[1] == values).all()
