"""Which connections a process and its children open, as the kernel was asked for them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_ADDRESS = re.compile(
    r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\""
)


def watch(record: Path) -> list[str]:
    """Return what to put before a command, so that its connections are written to a record.

    The command stays the direct child of who starts it. Skips where processes cannot be watched.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not here")
    tried = subprocess.run([strace, "-o", "/dev/null", "/bin/true"], check=False)  # noqa: S603
    if tried.returncode:
        pytest.skip("processes cannot be watched here")
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    return [strace, "-D", "-f", "--seccomp-bpf", "-e", calls, "-s", "0", "-o", str(record)]


def reached(record: Path) -> set[tuple[str, int]]:
    """Return the internet addresses that were connected or sent to."""
    return {(host, int(port)) for port, host in _ADDRESS.findall(record.read_text())}
