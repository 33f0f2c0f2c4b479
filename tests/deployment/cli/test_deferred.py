"""A reviewer's commands load no torch; the others load it when they are called."""

import subprocess
import sys
from pathlib import Path

import pytest

from deployment.cli.deferred import DEFERRED, DeferredCommand
from tests.bundles import finished, repacked

_BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "monai", "opacus", "pydicom", "PIL"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from deployment.cli import main
main()
"""
"""The command where the extra `node` is not installed."""


def bare(*words: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-c", _BARE, *words]
    return subprocess.run(call, capture_output=True, text=True, check=False)  # noqa: S603 - ours


def test_a_bundle_is_verified_where_there_is_no_torch(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(repacked(finished().files))
    done = bare("verify", str(bundle))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_what_needs_torch_is_listed_and_says_what_to_install() -> None:
    listed = bare("--help")
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in DEFERRED)
    asked = bare("demo", "--json")
    assert asked.returncode == 2
    assert asked.stdout == ""
    assert asked.stderr.splitlines() == [
        "command refused: demo needs the extra node, which is not installed",
        "next: install it here: pip install 'consilium[node]'",
    ]


@pytest.mark.parametrize(("name", "told"), DEFERRED.items(), ids=DEFERRED)
def test_the_list_of_commands_says_what_the_help_of_each_begins_with(name: str, told: str) -> None:
    assert (DeferredCommand(name).loaded().help or "").startswith(told)
