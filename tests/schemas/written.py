"""A contract and two plans as a person writes them; tests change a line and see what is said."""

CONTRACT = """
id = "chest"
version = "1.0.0"
status = "active"
title = "Frontal chest X-rays"
purpose = "Tests"

[cohort]
inclusion = "everyone"
min_patients = 2
max_images_per_patient = 4
parts = { kind = "hash", validation_fraction = 0.25 }

[image]
modalities = ["CR"]
sop_classes = ["1.2.840.10008.5.1.4.1.1.1"]
rows = { least = 64, most = 4096 }
columns = { least = 64, most = 4096 }
bits_stored = { least = 8, most = 16 }
photometric = ["MONOCHROME2"]

[preprocessing]
intensity = { kind = "window", low = -100.0, high = 300.0 }
height = 32
width = 32
normalisation = { kind = "fixed", mean = 0.5, deviation = 0.25 }

[labels]
column = "label"
classes = [{ value = "0", meaning = "no" }, { value = "1", meaning = "yes" }]
"""

PLAIN_PLAN = """
name = "plain"
title = "Federated averaging without privacy"
rounds = 4

[contract]
file = "chest.contract.toml"

[initial]
seed = 0

[network]
kind = "convolutional"
dropout = 0.3

[[sites]]
site = "east"

[[sites]]
site = "west"
weight = 2.5

[local]
kind = "epochs"
epochs = 1
batch_images = 8
optimizer = { kind = "adamw", learning_rate = 0.001 }

[privacy]
kind = "none"

[aggregation]
algorithm = "fedavg"

[evaluation]
rounds = [2, 4]

[gate]
min_sites = 1

[participation]
quorum = 2
"""

PRIVATE_PLAN = """
name = "private"
title = "Federated averaging under patient-level privacy"
rounds = 4

[contract]
file = "chest.contract.toml"

[initial]
seed = 0

[network]
kind = "gabor-fourier"

[[sites]]
site = "east"
expected_patients = 60.0

[local]
kind = "private-steps"
steps = 5
optimizer = { kind = "sgd", learning_rate = 1.0 }

[privacy]
kind = "patient"
sampling_rate = 0.5
noise_multiplier = 2.0
max_norm = 0.25
delta = 1e-4

[evaluation]
rounds = [2, 4]
noise_multiplier = 1.5

[participation]
quorum = 1
"""


def changed(text: str, old: str, new: str) -> str:
    """Put another line in the place of one that stands there once."""
    if text.count(old) != 1:
        message = f"{old!r} does not stand there once"
        raise ValueError(message)
    return text.replace(old, new)
