"""Flower at the aggregator: the only files of this side that import it.

Flower's telemetry, update checks and installations at run time are off: it reads these variables
when it is first imported. Its log is held to warnings, and so is that of its HTTP client; its lines
go where the process sends all of them, once and within the same limit.
"""

import logging
import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] = "1"

# The log's level is set when Flower is imported, so only afterwards can it be another.
import flwr.app  # noqa: F401 - after the variables that it reads

for _name in ("flwr", "httpx"):
    logging.getLogger(_name).setLevel(logging.WARNING)
logging.getLogger("flwr").handlers.clear()
