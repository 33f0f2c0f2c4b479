"""The page on backups: its copy is readable for its owner alone, and a home again once unpacked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.study import command


def test_the_copy_is_private_and_can_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = shutil.which("sh")
    if shell is None or shutil.which("tar") is None:
        pytest.skip("sh or tar is not here")
    monkeypatch.chdir(tmp_path)
    command("init", "--home", tmp_path / "homes" / "node", "--site", "north")
    [typed] = blocks(DOCS / "operations" / "backup.md", "sh")
    lines = [one for one in typed.splitlines() if not one.startswith("systemctl ")]
    text = "\n".join(lines).replace("/var/lib/consilium", str(tmp_path / "homes"))
    before = os.umask(0o022)
    try:
        subprocess.run([shell, "-ec", text], check=True)  # noqa: S603 - the page's own words
    finally:
        os.umask(before)
    assert (tmp_path / "node.tar").stat().st_mode & 0o777 == 0o600
    shutil.unpack_archive("node.tar", "restored", filter="fully_trusted")
    command("audit", "verify", "--home", tmp_path / "restored" / "node")
