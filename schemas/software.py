"""The installed code, named: what a silo says about its own software."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from schemas.names import Digest, digest_of

VERSION = version("consilium")


@cache
def code_identity(*packages: Path) -> Digest:
    """Name the installed packages by every Python file and its bytes, in order of name.

    It is taken once in a process, as the code that runs was read once.
    """
    total = hashlib.sha256()
    for package in sorted((*packages, Path(__file__).parent)):
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package.parent).as_posix()
            total.update(f"{name}\n{digest_of(path.read_bytes())}\n".encode())
    return f"sha256:{total.hexdigest()}"
