"""The files that keep both sides running are read by what they are for, or at least as it would."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import aggregator.cli
import hospital_node.cli
from aggregator.flower.body import MAX_BODY_BYTES
from aggregator.flower.gatekeeper import PATHS
from aggregator.tls import make_tls
from tests.docs.test_pages import leaf

DEPLOYMENT = Path(__file__).resolve().parents[2] / "deployment"
UNITS = sorted((DEPLOYMENT / "systemd").glob("*.service"))
COMPOSE = DEPLOYMENT / "compose"
SIDES = {"aggregator": aggregator.cli, "hospital-node": hospital_node.cli}
HARDENED = {
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "CapabilityBoundingSet=",
    "RestrictSUIDSGID=yes",
    "User=consilium",
    "UMask=0077",
}


def typed(words: list[str]) -> None:
    """Hold that these words are a command with options that it has."""
    command, rest = leaf([Path(words[0]).name, *words[1:]])
    command.make_context(words[0], list(rest))


@pytest.mark.parametrize("unit", UNITS, ids=lambda one: one.stem)
def test_a_unit_is_hardened_and_starts_a_command_that_exists(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert set(lines) >= HARDENED
    [start] = [one.removeprefix("ExecStart=") for one in lines if one.startswith("ExecStart=")]
    typed(start.split())


@pytest.mark.parametrize("unit", UNITS, ids=lambda one: one.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("systemd-analyze is not here")
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    text = text.replace("=consilium\n", "=daemon\n")
    copy = tmp_path / unit.name
    copy.write_text(text)
    found = subprocess.run(  # noqa: S603 - both words are of this test
        [verifier, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    own = [one for one in found.stderr.splitlines() if unit.name in one]
    assert (found.returncode, own) == (0, []), found.stderr


def test_the_compose_file_holds_two_services_without_rights_and_only_one_listens() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    assert set(services) == {"aggregator", "node"}
    for name, one in services.items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["read_only"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        file = COMPOSE / one["build"]["context"] / one["build"]["dockerfile"]
        assert file.resolve().exists(), name
    assert "ports" in services["aggregator"]
    assert "ports" not in services["node"]


@pytest.mark.parametrize("name", ["aggregator", "node"])
def test_an_image_runs_unprivileged_a_command_that_exists(name: str) -> None:
    lines = (COMPOSE / f"{name}.Dockerfile").read_text().splitlines()
    assert "USER consilium" in lines
    start, words = (
        yaml.safe_load(one.partition(" ")[2])
        for one in lines
        if one.startswith(("ENTRYPOINT", "CMD"))
    )
    typed([*start, *words])
    copied = {one.split()[1] for one in lines if one.startswith("COPY ") and len(one.split()) == 3}
    assert copied == {"aggregator", "deployment", "hospital_node", "schemas"}


def test_the_aggregators_image_installs_no_extra_and_so_no_torch() -> None:
    [install] = re.findall(r"^RUN pip install .*$", _text("aggregator"), re.MULTILINE)
    assert "[" not in install
    assert "[node" in _text("node")


def _text(name: str) -> str:
    return (COMPOSE / f"{name}.Dockerfile").read_text()


def test_the_proxy_lets_the_same_calls_through_as_the_aggregator() -> None:
    text = (DEPLOYMENT / "nginx" / "consilium.conf").read_text()
    [names] = re.findall(r"\^/v1/fleet/\(([^)]*)\)\$", text)
    assert {f"/v1/fleet/{one}" for one in names.split("|")} == PATHS
    assert f"client_max_body_size {MAX_BODY_BYTES // 2**20}m;" in text


def test_nginx_reads_its_example(tmp_path: Path) -> None:
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not here")
    make_tls(tmp_path, federation="t", address="federation.example.org:8443")
    text = (DEPLOYMENT / "nginx" / "consilium.conf").read_text()
    text = text.replace("/etc/consilium/", f"{tmp_path}/")
    around = f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n"
    (tmp_path / "nginx.conf").write_text(f"{around}{text}}}\n")
    found = subprocess.run(  # noqa: S603 - every word is of this test
        [nginx, "-t", "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
