"""Homes that ingest one site from a folder and from an archive, as a person types it."""

from pathlib import Path

import hospital_node.cli
from hospital_node.config import NodeHome
from schemas.command_line import run
from tests.hospital_node.cohort.sources.orthanc import PASSWORD, USER

KEY = bytes(range(32))


def made(home: Path, settings: str = "", *, secret: str = f"{USER}:{PASSWORD}") -> Path:
    """Make a node with these tables in node.toml; all nodes rename patients alike."""
    assert run(hospital_node.cli.app, ["init", "--home", str(home), "--site", "north"]) == 0
    paths = NodeHome(home)
    paths.pseudonym_key.write_bytes(KEY)
    paths.config.write_text(paths.config.read_text() + settings)
    paths.web_secret.write_text(secret)
    paths.web_secret.chmod(0o600)
    return home


def ingest(home: Path, *words: object) -> int:
    command = ["cohort", "ingest", "--home", home, *words]
    return run(hospital_node.cli.app, [str(one) for one in command])


def stored(home: Path) -> dict[str, bytes]:
    """Return the manifest and the pixels of the one stored cohort."""
    (folder,) = (one for one in NodeHome(home).cohort.iterdir() if not one.name.startswith("."))
    return {name: (folder / name).read_bytes() for name in ("manifest.json", "pixels.npy")}
