"""The quickstart, typed command by command over two small invented hospitals."""

from pathlib import Path

import pytest
import typer
from pydicom.uid import ExplicitVRLittleEndian

import aggregator.cli
import deployment.cli
import hospital_node.cli
from hospital_node.cohort.synthetic import SyntheticSite, write_site
from hospital_node.privacy.ledger import Ledger
from schemas.command_line import run
from tests.docs.pages import DOCS, blocks, commands

APPS: dict[str, typer.Typer] = {
    "aggregator": aggregator.cli.app,
    "consilium": deployment.cli.app,
    "hospital-node": hospital_node.cli.app,
}
NOTHING_ACCEPTED = 6
"""Noise may keep a small study's only candidate from being accepted; the page says so."""


def write_hospital(folder: Path, seed: int) -> None:
    site = SyntheticSite(
        name=folder.name,
        patients=120,
        prevalence=0.5,
        rows=32,
        columns=32,
        photometric="MONOCHROME2",
        bits_stored=8,
        transfer_syntax=ExplicitVRLittleEndian,
        modality="DX",
        manufacturer="Invented",
        gamma=1.0,
        noise=0.01,
        blur=0.5,
    )
    write_site(site, folder, seed=seed)


def spent(home: Path) -> list[float]:
    with Ledger(home / "ledger.sqlite") as ledger:
        return [ledger.spent(part, delta=1e-4).rdp for part in ("train", "validation")]


def test_the_commands_of_the_quickstart_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = DOCS / "quickstart.md"
    monkeypatch.chdir(tmp_path)
    for text in blocks(page, "toml"):
        Path(text.partition("\n")[0].removeprefix("# ")).write_text(text)
    for seed, site in enumerate(("north", "south")):
        write_hospital(Path("data") / site, seed)
    figures = []
    for words in commands(page):
        status = run(APPS[words[0]], words[1:])
        said = capsys.readouterr()
        allowed = {0, NOTHING_ACCEPTED} if words[:2] == ["consilium", "run"] else {0}
        assert status in allowed, (words, said.err)
        if words[:3] == ["hospital-node", "budget", "show"]:
            figures.append(spent(Path("nodes") / "north"))
    first, second = figures
    assert all(0 < before < after <= 8.0 for before, after in zip(first, second, strict=True))
    assert len(list(Path("federation").glob("reports/*/report.html"))) == 1
