"""Releases that no ledger row tells of: those of plans without privacy, counted by the journal.

* Every reply is in the journal before it leaves. A request's charge pays for one reply; any other
  reply left without noise, and no epsilon bounds it.
* A reply that is sent again, with the same bytes, is one release.
* What a reply is of stands in its request: under masking an update's reply has no arrays beside it.
"""

from collections.abc import Iterable, Mapping

from schemas.audit.events import Facts, ReplySent, RequestReceived, Reserved
from schemas.manifest import Part

__all__ = ["said", "uncharged"]


def uncharged(claims: Iterable[Facts]) -> dict[Part, int]:
    """Count the releases without privacy from train and from validation patients."""
    counts: dict[Part, int] = {"train": 0, "validation": 0}
    paid: set[str] = set()
    left: set[str] = set()
    purposes: dict[str, str] = {}
    for claim in claims:
        match claim:
            case RequestReceived(request=request, purpose=purpose):
                purposes[request] = purpose
            case Reserved(request=request):
                paid.add(request)
            case ReplySent(reply=reply) if reply in left:
                """These very bytes left before."""
            case ReplySent(request=request, reply=reply) if request in paid:
                left.add(reply)
                paid.remove(request)
            case ReplySent(request=request, reply=reply, arrays=arrays):
                left.add(reply)
                trains = arrays is not None or purposes.get(request) == "train"
                counts["train" if trains else "validation"] += 1
            case _:
                """Other events release nothing of a patient."""
    return counts


def said(counts: Mapping[Part, int]) -> str:
    """Say what no epsilon counts; nothing where every release was charged."""
    total = sum(counts.values())
    if not total:
        return ""
    return (
        f"{total} releases left WITHOUT PRIVACY, under plans that a person here approved so "
        f"({counts['train']} updates, {counts['validation']} evaluations). "
        "No epsilon here counts them, and nothing bounds what they tell."
    )
