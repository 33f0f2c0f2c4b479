"""A federation in one process: the real ServerApp and ClientApps on an in-process Flower grid.

Flower's telemetry and update checks are off: it reads these variables when it is first imported.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] = "1"
