"""Integrity is verified with the standard library and `cryptography` alone."""

import subprocess
import sys
from pathlib import Path

from tests.bundles import finished, repacked

SCRIPT = """
import sys
from schemas.audit.verification.integrity import main
status = main(sys.argv[1:])
known = set(sys.stdlib_module_names) | {"cryptography", "_cffi_backend", "_openssl", "schemas"}
known |= {"__main__", "_distutils_hack"}
found = {name.partition(".")[0] for name in sys.modules}
print(sorted(one for one in found - known if not one.startswith(("__editable", "_virtualenv"))))
sys.exit(status)
"""


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


def test_no_other_library_is_loaded_and_the_status_tells(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(repacked(finished().files))
    good = ran(str(path))
    assert good.returncode == 0, good.stderr
    *_, verdict, others = good.stdout.splitlines()
    assert verdict == "the bundle's integrity is verified"
    assert others == "[]"
    content = bytearray(path.read_bytes())
    content[content.index(b'"sequence":3,')] ^= 1
    path.write_bytes(content)
    bad = ran(str(path))
    assert bad.returncode == 1
    assert "refuted" in bad.stdout
    path.write_bytes(b"PK")
    assert ran(str(path)).returncode == 2
    assert ran().returncode == 2
