"""The requests of a round: each is made once, and is on disk before it is sent.

* A resumed round sends its very bytes: it returns each site's newest journal head of that time.
"""

from pathlib import Path
from typing import Any, TypeVar

from aggregator.aggregation.variates import variate_rounds
from aggregator.federation import Federation
from aggregator.run_state import RunState
from schemas.files import write_durably
from schemas.names import Digest, digest_of
from schemas.plan import TrainingPlan
from schemas.update import CloseRequest, EvaluateRequest, Request, TrainRequest

R = TypeVar("R", TrainRequest, EvaluateRequest)


def train_request(federation: Federation, plan: TrainingPlan, state: RunState) -> TrainRequest:
    """Make a round's train request, once; the same state has the same bytes ever after."""
    return _once(
        federation,
        TrainRequest(
            **_binding(federation, state, "train"),
            participants=plan.trainers,
            arrays=state.server.iterate,
            issued=state.issued,
            control=state.server.control,
            variates=variate_rounds(plan, state),
        ),
    )


def evaluate_request(
    federation: Federation, plan: TrainingPlan, state: RunState, *, candidate: Digest
) -> EvaluateRequest:
    """Make a judged round's evaluate request, once, like a train request."""
    return _once(
        federation,
        EvaluateRequest(
            **_binding(federation, state, "evaluate"),
            participants=tuple(sorted(one.site for one in plan.sites)),
            arrays=candidate,
            issued=state.issued,
        ),
    )


def close_request(federation: Federation, plan: TrainingPlan, state: RunState) -> CloseRequest:
    """Make the request that ends a run."""
    heads = federation.heads.of(federation.roster())
    participants = tuple(sorted(one.site for one in plan.sites))
    return CloseRequest(
        **_binding(federation, state, "close"),
        participants=participants,
        arrays=digest_of(b""),
        issued=federation.clock(),
        heads={site: heads[site] for site in participants if site in heads},
    )


def _binding(federation: Federation, state: RunState, purpose: str) -> dict[str, Any]:
    return {
        "federation": federation.config.federation,
        "run": state.run,
        "plan": state.plan,
        "round": state.round,
        "request": f"{state.run}.{state.round}.{purpose}",
    }


def _once(federation: Federation, request: R) -> R:
    """Return the stored request if it is this one; else add the sites' heads, and store it."""
    path = _path(federation, request)
    if path.exists():
        stored = type(request).from_canonical(path.read_bytes())
        if stored.model_copy(update={"heads": {}}) == request:
            return stored
    heads = federation.heads.of(federation.roster())
    returned = {site: heads[site] for site in request.participants if site in heads}
    whole = request.model_copy(update={"heads": returned})
    write_durably(path, whole.canonical())
    return whole


def _path(federation: Federation, request: Request) -> Path:
    folder = federation.home.runs / request.run / "requests"
    return folder / f"{request.round:06d}-{request.request.rpartition('.')[2]}.json"
