"""Two plans for three hospitals: one with patient-level privacy, one without any."""

import json

from schemas.contract import DataContract
from schemas.names import digest_of
from schemas.plan import TrainingPlan
from tests import study

CONTRACT = DataContract.model_validate_json(
    json.dumps(
        study.CONTRACT
        | {
            "version": "1.2.0",
            "title": "Frontal chest X-ray of adults",
            "purpose": "Find pneumonia on frontal radiographs",
            "legal_references": ["GDPR Art. 9(2)(j)", "ethics vote 17/2026"],
        }
    )
)
INITIAL = digest_of(b"initial")
SITES = ("charite", "hannover", "leeds")

_HEAD = """
name = "chest-xray"
title = "{title}"
rounds = {rounds}
contract = {{ file = "contract.toml", pinned = "{contract}" }}
initial = {{ seed = 7, arrays = "{initial}" }}
participation = {{ quorum = 2, deadline_s = 120.0 }}
"""
_PRIVATE = """
network = { kind = "gabor-fourier", features = 2048 }
local = { kind = "private-steps", steps = 4, optimizer = { kind = "sgd", learning_rate = 0.5 } }
aggregation = { algorithm = "fedavgm", momentum = 0.5 }
update_gate = { max_norm = 40.0 }
evaluation = { rounds = [2, 4, 6, 8], bins = 10, noise_multiplier = 2.0 }
gate = { floor = 0.6, margin = 0.02, min_sites = 2 }
sites = [
  { site = "charite", weight = 2.0, expected_patients = 400.0 },
  { site = "hannover", expected_patients = 120.0 },
  { site = "leeds", weight = 1.5, expected_patients = 260.0 },
]
[privacy]
kind = "patient"
sampling_rate = 0.25
noise_multiplier = 4.0
max_norm = 1.0
delta = 1e-4
"""
_OPEN = """
network = { kind = "densenet", blocks = [2, 2] }
privacy = { kind = "none" }
evaluation = { rounds = [1, 2] }
sites = [{ site = "charite" }, { site = "hannover" }, { site = "leeds" }]
[local]
kind = "epochs"
epochs = 1
batch_images = 16
optimizer = { kind = "adamw", learning_rate = 1e-3 }
"""


def private_plan(title: str = "Pneumonia on chest X-rays, three hospitals") -> TrainingPlan:
    head = _HEAD.format(title=title, rounds=8, contract=CONTRACT.digest, initial=INITIAL)
    return TrainingPlan.from_toml(head + _PRIVATE)


def open_plan() -> TrainingPlan:
    title = "Tumour on brain MRI, no privacy"
    return TrainingPlan.from_toml(
        _HEAD.format(title=title, rounds=2, contract=CONTRACT.digest, initial=INITIAL) + _OPEN
    )
