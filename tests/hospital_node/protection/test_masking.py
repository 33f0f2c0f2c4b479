"""A site's part refuses whatever would open more than one sum of enough sites."""

from collections.abc import Callable

import numpy as np
import pytest

from hospital_node.protection import masking
from schemas.errors import EnvelopeRefused, PartRefused
from schemas.protection.agreement import BOX_BYTES, PublicKeys
from schemas.protection.shamir import SHARE_BYTES
from tests.attempts import Attempt, names, terms

SITES = names(5)
ZEROS = {site: np.zeros(8, "<u4") for site in SITES}
FOUR = SITES[:4]


def at(exchange: str) -> Attempt:
    """Bring five sites to just before an exchange."""
    attempt = Attempt(terms(5), ZEROS)
    for name in ("advertise", "share", "input", "agree"):
        if name == exchange:
            return attempt
        getattr(attempt, name)(SITES)
    return attempt


def keys(attempt: Attempt, **changes: PublicKeys) -> dict[str, PublicKeys]:
    return attempt.keys | changes


SEVEN, NINE = ("0" + one + "00" * 31 for one in "79")
STRANGE = PublicKeys(cipher=NINE, mask=SEVEN, seed=NINE)
SMALL = PublicKeys.model_construct(cipher="00" * 32, mask=SEVEN, seed=NINE)
Told = Callable[[Attempt], dict[str, PublicKeys]]

ADVERTS: dict[str, tuple[Told, str]] = {
    "too few": (
        lambda told: {one: told.keys[one] for one in SITES[:3]},
        "3 sites are left, at least 4 are needed",
    ),
    "without this site": (
        lambda told: {one: told.keys[one] for one in SITES[1:]},
        "it leaves this site out",
    ),
    "its own keys altered": (lambda told: keys(told, s00=STRANGE), "own keys were altered"),
    "a stranger": (lambda told: keys(told, mallory=STRANGE), "it names a site that the plan"),
    "a key twice": (
        lambda told: keys(told, s02=told.keys["s03"]),
        "a key stands twice among the adverts",
    ),
    "one site's two keys alike": (
        lambda told: keys(told, s02=PublicKeys(cipher=SEVEN, mask=SEVEN, seed=NINE)),
        "a key stands twice among the adverts",
    ),
    "a key of small order": (lambda told: keys(told, s02=SMALL), "X25519 key is not usable"),
}


@pytest.mark.parametrize(("told", "reason"), ADVERTS.values(), ids=ADVERTS)
def test_adverts_are_refused(told: Told, reason: str) -> None:
    attempt = at("share")
    with pytest.raises(EnvelopeRefused, match=reason):
        masking.shared(attempt.parts["s00"], attempt.terms, told(attempt))


def test_a_part_of_another_attempt_shares_nothing() -> None:
    attempt = at("share")
    with pytest.raises(EnvelopeRefused, match="it is about another attempt"):
        masking.shared(attempt.parts["s00"], terms(5, attempt=2), attempt.keys)


def test_shares_that_were_altered_moved_or_replayed_do_not_open() -> None:
    attempt, earlier = at("input"), at("input")
    boxes = attempt.boxes_for("s00")
    altered = bytearray(boxes["s01"])
    altered[5] ^= 1
    for wrong in (
        boxes | {"s01": bytes(altered)},
        boxes | {"s01": boxes["s02"]},
        boxes | {"s01": attempt.boxes_for("s04")["s01"]},
        boxes | {"s01": earlier.boxes_for("s00")["s01"]},
        boxes | {"s01": b""},
    ):
        vector = np.zeros(8, "<u4")
        with pytest.raises(PartRefused, match="the shares of s01 for s00 do not open"):
            masking.masked(attempt.parts["s00"], attempt.terms, wrong, vector)
        assert not vector.any()


def test_too_few_senders_get_no_value() -> None:
    attempt = at("input")
    boxes = attempt.boxes_for("s00")
    for few, reason in (
        ({one: boxes[one] for one in ("s01", "s02")}, "3 sites are left, at least 4 are needed"),
        (boxes | {"mallory": bytes(BOX_BYTES)}, "it names a site that the plan does not"),
    ):
        with pytest.raises(EnvelopeRefused, match=reason):
            masking.masked(attempt.parts["s00"], attempt.terms, few, np.zeros(8, "<u4"))


def test_a_site_that_shared_without_advertising_is_refused() -> None:
    attempt = Attempt(terms(5), ZEROS)
    attempt.advertise(FOUR)
    attempt.share(FOUR)
    boxes = attempt.boxes_for("s00") | {"s04": bytes(BOX_BYTES)}
    with pytest.raises(EnvelopeRefused, match="it names a site that did not advertise"):
        masking.masked(attempt.parts["s00"], attempt.terms, boxes, np.zeros(8, "<u4"))


def test_a_part_agrees_to_one_set_of_survivors() -> None:
    attempt = at("agree")
    part = masking.agreed(attempt.parts["s00"], attempt.terms, SITES)
    assert masking.agreed(part, attempt.terms, SITES) == part
    with pytest.raises(EnvelopeRefused, match="agreed to another set of survivors"):
        masking.agreed(part, attempt.terms, FOUR)


@pytest.mark.parametrize(
    ("survivors", "reason"),
    [
        (SITES[:3], "3 sites are left, at least 4 are needed"),
        (SITES[1:], "it leaves this site out"),
        ((*SITES[:3], "mallory"), "it names a site that the plan does not"),
    ],
)
def test_survivors_are_refused(survivors: tuple[str, ...], reason: str) -> None:
    attempt = at("agree")
    with pytest.raises(EnvelopeRefused, match=reason):
        masking.agreed(attempt.parts["s00"], attempt.terms, survivors)


def test_a_survivor_that_shared_nothing_is_refused() -> None:
    attempt = Attempt(terms(5), ZEROS)
    attempt.advertise(SITES)
    attempt.share(FOUR)
    attempt.input(FOUR)
    with pytest.raises(EnvelopeRefused, match="a survivor has shared nothing with this site"):
        masking.agreed(attempt.parts["s00"], attempt.terms, SITES)


@pytest.mark.parametrize(
    ("agreeing", "reason"),
    [
        (SITES[:3], "3 sites agree to the survivors, 4 are needed"),
        ((*SITES[:3], *SITES[:3]), "3 sites agree to the survivors, 4 are needed"),
        ((*SITES[:4], "mallory"), "an agreement is of a site that did not survive"),
    ],
)
def test_agreements_are_refused(agreeing: tuple[str, ...], reason: str) -> None:
    attempt = at("unmask")
    with pytest.raises(EnvelopeRefused, match=reason):
        masking.unmasked(attempt.parts["s00"], attempt.terms, agreeing)


def test_nothing_is_unmasked_for_another_attempt() -> None:
    attempt = at("unmask")
    with pytest.raises(EnvelopeRefused, match="it is about another attempt"):
        masking.unmasked(attempt.parts["s00"], terms(5, attempt=2), SITES)


def test_nothing_is_unmasked_before_a_set_was_agreed_to() -> None:
    attempt = at("agree")
    with pytest.raises(EnvelopeRefused, match="agreed to no set of survivors"):
        masking.unmasked(attempt.parts["s00"], attempt.terms, SITES)


def test_of_each_site_one_share_is_told_and_never_both() -> None:
    attempt = Attempt(terms(5), ZEROS)
    for step, sites in ((attempt.advertise, SITES), (attempt.share, SITES), (attempt.input, FOUR)):
        step(sites)
    attempt.agree(FOUR)
    part = attempt.parts["s00"]
    content = masking.unmasked(part, attempt.terms, FOUR)
    assert len(content) == 5 * SHARE_BYTES
    for place, site in enumerate(SITES):
        told = content[SHARE_BYTES * place : SHARE_BYTES * (place + 1)].hex()
        held = part.held[site]
        assert told == (held.seed if site in FOUR else held.key)
        assert (held.key if site in FOUR else held.seed) not in content.hex()


def test_every_attempt_has_fresh_keys() -> None:
    made = [masking.begun(terms(5).context, "s00") for _ in range(3)]
    assert len({secret for one in made for secret in (one.cipher, one.mask, one.seed)}) == 9
