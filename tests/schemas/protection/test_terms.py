"""The terms of an attempt are the plan's, and what every message is about is its own."""

import pytest

from schemas.names import digest_of
from schemas.plan import TrainingPlan
from schemas.protection.messages import Advert, Context, Purpose
from schemas.protection.terms import terms_of
from tests.aggregator.examples import plan
from tests.attempts import context

FIVE = tuple({"site": one, "expected_patients": 10.0} for one in "ABCDE")


def masked(quorum: int) -> TrainingPlan:
    return plan(
        protection={"kind": "masked"},
        sites=FIVE,
        participation={"quorum": quorum},
        update_gate={"max_norm": 10.0},
        evaluation={"rounds": (2,), "protection": "masked"},
    )


@pytest.mark.parametrize(
    ("quorum", "policy", "least"), [(4, 3, 4), (5, 3, 5), (4, 5, 5), (5, 4, 5)]
)
def test_the_least_number_of_sites_is_the_largest_that_anyone_asks_for(
    quorum: int, policy: int, least: int
) -> None:
    terms = terms_of(masked(quorum), context(), least=policy)
    assert (terms.sites, terms.threshold, terms.least) == (tuple("ABCDE"), 4, least)


def test_histograms_need_no_quorum_of_trainers() -> None:
    assert terms_of(masked(5), context(purpose="evaluate")).least == 4


@pytest.mark.parametrize("purpose", ["train", "evaluate"])
def test_a_message_is_about_what_it_says(purpose: Purpose) -> None:
    told = context(purpose=purpose, model=digest_of(b"model"), attempt=3, round=7)
    fields = told.model_dump(exclude={"protocol"})
    found = Advert.model_construct(**fields, request="r").context
    assert found == told
    assert isinstance(found, Context)
