"""`init` killed at every step on disk: the home is whole, or none, and the next init makes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = """
import contextlib, io, json, os, sys
from pathlib import Path
import aggregator.cli, hospital_node.cli
from schemas.command_line import run

side, folder = sys.argv[1], Path(sys.argv[2])
app, named = {
    "aggregator": (aggregator.cli.app, ["--name", "t"]),
    "hospital-node": (hospital_node.cli.app, ["--site", "east"]),
}[side]
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def init_until(step, home):
    left = step

    def hook(event, arguments):
        nonlocal left
        if event in STEPS and str(home) in str(arguments[0]):
            left -= 1
            if left < 0:
                os._exit(9)

    child = os.fork()
    if child == 0:
        sys.addaudithook(hook)
        os._exit(quiet("init", home, *named))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def quiet(*words):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return run(app, [str(words[0]), "--home", str(words[1]), *words[2:]])


def verify(home):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        status = run(app, ["audit", "verify", "--home", str(home), "--json"])
    return [status, json.loads(said.getvalue())["events"] if status == 0 else None]


step, found = 0, []
while True:
    home = folder / str(step)
    status = init_until(step, home)
    before = verify(home)
    again = quiet("init", home, *named)
    found.append([status, before, again, verify(home)])
    if status == 0:
        break
    step += 1
print(json.dumps(found))
"""


@pytest.mark.parametrize("side", ["aggregator", "hospital-node"])
def test_a_killed_init_leaves_a_whole_home_or_none(tmp_path: Path, side: str) -> None:
    ran = subprocess.run(  # noqa: S603 - this interpreter, over constants
        [sys.executable, "-c", KILLS, side, str(tmp_path)],
        capture_output=True,
        check=True,
        text=True,
        timeout=600,
    )
    *killed, last = json.loads(ran.stdout)
    assert last == [0, [0, 3], 3, [0, 3]]
    assert len(killed) > 20
    for status, before, again, after in killed:
        assert status == 9
        assert [before, again] in ([[3, None], 0], [[0, 3], 3]), "neither whole nor none"
        assert after == [0, 3]
