"""The tree of refusals is the one that its module draws."""

import re

import pytest

from schemas import errors
from schemas.errors import BudgetExceeded, FederationError

DRAWN = re.compile(r"^([│ ]*)[├└]── (\w+)(?: +exit (\d))?", re.MULTILINE)


def drawn() -> list[tuple[str, str, int]]:
    """Read class, parent and exit status off the drawing."""
    assert errors.__doc__ is not None
    found, parent, status = [], "", 0
    for indent, name, own in DRAWN.findall(errors.__doc__):
        if not indent:
            parent, status = name, int(own)
        found.append((name, parent if indent else "FederationError", status))
    return found


@pytest.mark.parametrize(("name", "parent", "status"), drawn())
def test_a_drawn_refusal_is_there_with_its_exit_status(name: str, parent: str, status: int) -> None:
    kind = getattr(errors, name)
    assert [one.__name__ for one in kind.__bases__] == [parent]
    assert kind.exit_status == status


def test_every_refusal_is_drawn() -> None:
    def below(kind: type[FederationError]) -> set[str]:
        children = [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
        return {one.__name__ for one in children}.union(*map(below, children))

    assert below(FederationError) == {name for name, _, _ in drawn()}


def test_a_budget_says_what_was_what_would_be_and_what_may_be() -> None:
    refused = BudgetExceeded(before=3.1021, after=8.4469, limit=8.0, delta=1e-5)
    assert str(refused) == refused.message
    assert refused.message == (
        "round refused: epsilon would rise from 3.102 to 8.447, over the limit 8.000 (delta=1e-05)"
    )
    assert "hospital-node policy limit" in refused.next_step
    assert (refused.before, refused.after, refused.limit) == (3.1021, 8.4469, 8.0)
