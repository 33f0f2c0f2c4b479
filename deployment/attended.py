"""A command in a process of its own that ends when the one that started it does.

`python -P -m deployment.attended COMMAND ARGUMENT...`: its standard input is a pipe that the
starter holds open. However the starter ends, even by kill -9, the pipe does too, and so does this.
"""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "aggregator": "aggregator.cli",
    "hospital-node": "hospital_node.cli",
}
"""Where the commands that may be attended have their `main`."""

GRACE_S = 15.0
"""A command has this long to end in order."""


def main() -> None:
    """Run the command that the arguments name."""
    name = sys.argv[1]
    threading.Thread(target=_attend, daemon=True).start()
    sys.argv = [name, *sys.argv[2:]]
    importlib.import_module(COMMANDS[name]).main()


def _attend() -> None:
    while os.read(sys.__stdin__.fileno() if sys.__stdin__ else 0, 1):
        """Nothing is ever said on it."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
