"""A released model to begin from; tests change what is in it."""

from typing import Any

from schemas.checkpoint import CheckpointManifest, Source
from schemas.contract import DataContract
from schemas.gate import CheckResult, Verdict
from schemas.plan import TrainingPlan
from schemas.release import ModelRelease
from tests.schemas.written import CONTRACT, PLAIN_PLAN

DIGEST = "sha256:" + "1" * 64
MOMENT = "2026-01-01T00:00:00.000Z"


def check(outcome: str = "accepted") -> CheckResult:
    fields = {"check": "auroc", "outcome": outcome, "found": 0.9, "allowed": 0.8, "reason": "it is"}
    return CheckResult.model_validate(fields)


def release(**changes: Any) -> ModelRelease:
    """Make a release; `manifest` and `verdict` are changes of their fields, `checks` outcomes."""
    contract = DataContract.from_toml(CONTRACT)
    plan = TrainingPlan.from_toml(PLAIN_PLAN)
    pinned = plan.contract.model_copy(update={"pinned": contract.digest})
    plan = plan.model_copy(update={"contract": pinned})
    manifest = {
        "arrays": DIGEST,
        "federation": "study",
        "run": "run-1",
        "plan": plan.digest,
        "contract": contract.digest,
        "round": 1,
        "parent": DIGEST,
        "trained_from": DIGEST,
        "sources": (Source(site="A", update=DIGEST, weight=1.0),),
        "kind": "candidate",
        "created": MOMENT,
    }
    verdict = {
        "round": 1,
        "candidate": DIGEST,
        "accepted": DIGEST,
        "outcome": "accepted",
        "reason": "accepted: it is good",
        "auroc": 0.9,
        "sites": (),
        "checks": (check(),),
    }
    return ModelRelease(
        federation=changes.get("federation", "study"),
        manifest=CheckpointManifest.model_validate(manifest | changes.get("manifest", {})),
        verdict=Verdict.model_validate(verdict | changes.get("verdict", {})),
        checks=tuple(check(one) for one in changes.get("checks", ["accepted"])),
        plan=plan,
        contract=contract,
        issued=MOMENT,
    )
