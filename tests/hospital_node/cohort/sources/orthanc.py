"""A real archive: Orthanc on the loopback interface, with authentication, for the length of a test.

It is a program of its own (GPL), never linked; a test that asks for it is skipped where it is not
installed.
"""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGINS = Path("/usr/share/orthanc/plugins")
USER, PASSWORD = "node", "invented-password"
START_S = 60.0
MEMORY = Path("/dev/shm")  # noqa: S108 - an archive makes a folder for each object


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running archive and the port to which it sends."""

    web_port: int
    dicom_port: int
    node_port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.web_port}/dicom-web"

    def pacs(self) -> str:
        """Return the table of node.toml for C-FIND and C-MOVE."""
        return (
            f'\n[pacs]\nhost = "127.0.0.1"\nport = {self.dicom_port}\ntitle = "ORTHANC"\n'
            f'own_title = "NODE"\nlisten = "127.0.0.1"\nlisten_port = {self.node_port}\n'
            "timeout_s = 20.0\nstall_s = 30.0\n"
        )

    def dicomweb(self, authority: Path | None = None) -> str:
        """Return the table of node.toml for DICOMweb."""
        line = f'authority = "{authority}"\n' if authority else ""
        return f'\n[dicomweb]\nurl = "{self.url}"\nauthorization = "basic"\n{line}'

    def asked(self, path: str, body: bytes | None = None) -> bytes:
        """Ask Orthanc's own interface, as its administrator does."""
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web_port}{path}",
            data=body,
            headers={"Authorization": f"Basic {token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            content: bytes = response.read()
            return content

    def hold(self, folder: Path) -> int:
        """Put every file below a folder into the archive."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in files:
            self.asked("/instances", path.read_bytes())
        return len(files)


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, each another."""
    with ExitStack() as stack:
        bound = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            bound.append(one.getsockname()[1])
        return bound


@contextmanager
def running(certificate: Path | None = None) -> Iterator[Orthanc]:
    """Start an empty archive; stop it and forget it afterwards."""
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        _started(Path(folder), certificate) as archive,
    ):
        yield archive


@contextmanager
def _started(folder: Path, certificate: Path | None) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc")
    if program is None or not (PLUGINS / "libOrthancDicomWeb.so").exists():
        pytest.skip("Orthanc and its DICOMweb plug-in are not installed (orthanc-dicomweb)")
    web, dicom, node = free_ports(3)
    archive = Orthanc(web, dicom, node, "https" if certificate else "http")
    settings = {
        "Name": "tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(PLUGINS / "libOrthancDicomWeb.so")],
        "HttpPort": web,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowFind": False,
        "DicomAlwaysAllowMove": False,
        "RemoteAccessAllowed": True,
        "SslEnabled": certificate is not None,
        "SslCertificate": str(certificate or ""),
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomModalities": {
            "node": {
                "AET": "NODE",
                "Host": "127.0.0.1",
                "Port": node,
                "AllowFind": True,
                "AllowMove": True,
            }
        },
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "SaveJobs": False,
        "SyncStorageArea": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)  # noqa: S603
        try:
            _await(archive, process)
            yield archive
        finally:
            process.kill()  # nothing of it is needed; ending in order takes it ten seconds
            process.wait()


def _await(archive: Orthanc, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert process.poll() is None, "Orthanc ended at once"
        with socket.socket() as probe, socket.socket() as other:
            found = probe.connect_ex(("127.0.0.1", archive.web_port))
            if not found and not other.connect_ex(("127.0.0.1", archive.dicom_port)):
                return
        time.sleep(0.05)
    pytest.fail("Orthanc did not start")
