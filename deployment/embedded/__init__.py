"""A federation in one process: the real ServerApp and ClientApps on an in-process Flower grid."""

import aggregator.flower  # noqa: F401 - its settings come before anything here imports Flower
