"""A small study on disk: an aggregator, its hospitals with real DICOM, a contract and a plan.

Tests drive it through the same commands and functions that a user does, and attack it by changing
what stands in it.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import tomlkit
from pydicom.uid import ExplicitVRLittleEndian

import aggregator.cli
import hospital_node.cli
from aggregator.audit.exchange import show
from aggregator.federation import Federation
from aggregator.material import read_material
from aggregator.run_state import RunState
from aggregator.runs import conduct, started, stored
from deployment.embedded.federation import EmbeddedFederation, opened
from deployment.material import pin
from hospital_node.cohort.synthetic import SyntheticSite, write_site
from hospital_node.node import Node
from hospital_node.session import answer
from schemas.audit.events import Facts
from schemas.audit.exchange import Shared
from schemas.audit.notes import cosignature, witness_name
from schemas.command_line import run
from schemas.plan import TrainingPlan
from schemas.wire.packet import Packet
from tests.brought import weights

SITES = ("east", "north", "west")

CONTRACT: dict[str, Any] = {
    "id": "small",
    "version": "1.0.0",
    "status": "active",
    "title": "Small invented radiographs",
    "purpose": "Tests",
    "cohort": {
        "inclusion": "every invented patient",
        "min_patients": 5,
        "max_images_per_patient": 8,
        "parts": {"kind": "hash", "validation_fraction": 0.4},
    },
    "image": {
        "modalities": ["CR", "DX"],
        "sop_classes": ["1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"],
        "rows": {"least": 16, "most": 512},
        "columns": {"least": 16, "most": 512},
        "bits_stored": {"least": 8, "most": 16},
        "photometric": ["MONOCHROME1", "MONOCHROME2"],
    },
    "preprocessing": {
        "intensity": {"kind": "stored-bits"},
        "height": 16,
        "width": 16,
        "normalisation": {"kind": "image", "floor": 0.02},
    },
    "labels": {
        "column": "label",
        "classes": [{"value": "0", "meaning": "no finding"}, {"value": "1", "meaning": "finding"}],
    },
}

PLAN: dict[str, Any] = {
    "name": "small",
    "title": "A small study",
    "rounds": 2,
    "contract": {"file": "small.contract.toml"},
    "initial": {"seed": 3},
    "network": {"kind": "convolutional", "channels": [4, 8], "groups": 2},
    "sites": [{"site": one, "weight": 1.0, "expected_patients": 12.0} for one in SITES],
    "local": {
        "kind": "epochs",
        "epochs": 1,
        "batch_images": 8,
        "optimizer": {"kind": "sgd", "learning_rate": 0.1},
    },
    "privacy": {"kind": "none"},
    "evaluation": {"rounds": [1, 2], "bins": 10},
    "gate": {"site_min_class_weight": 0.01, "floor": 0.0, "margin": 1.0, "site_margin": 1.0},
    "participation": {"quorum": 2, "deadline_s": 60.0},
}

PRIVATE: dict[str, Any] = {
    "local": {
        "kind": "private-steps",
        "steps": 1,
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
    },
    "privacy": {
        "kind": "patient",
        "sampling_rate": 1.0,
        "noise_multiplier": 3.0,
        "max_norm": 0.5,
        "delta": 1e-4,
    },
    "evaluation": {"rounds": [1, 2], "bins": 10, "noise_multiplier": 3.0},
}


@dataclass(frozen=True, slots=True)
class Study:
    """Where everything stands."""

    folder: Path
    plan: Path
    aggregator: Path
    nodes: dict[str, Path]

    def parsed(self) -> TrainingPlan:
        return TrainingPlan.from_toml(self.plan.read_text())

    @contextmanager
    def opened(self) -> Iterator[EmbeddedFederation]:
        with opened(self.aggregator, list(self.nodes.values())) as embedded:
            yield embedded

    def started(self, federation: Federation) -> str:
        return started(federation, read_material(self.plan))

    def conducted(self) -> RunState:
        """Run the plan from its start to its end, over Flower's apps."""
        with self.opened() as embedded:
            name = self.started(embedded.federation)
            embedded.conducted(name, observe=lambda _: None)
            return stored(embedded.federation, name)[1]


def made(folder: Path, *, private: bool = False, approve: bool = True, **changes: Any) -> Study:
    """Make a study, ready to run; `changes` replace fields of the plan."""
    study = SMALL.study(folder, PLAN | (PRIVATE if private else {}) | changes)
    pin(study.plan, source=weights(folder) if "trainable" in changes else None)
    for site in SITES if approve else ():
        approved(study, site, private=private)
    return study


@dataclass(frozen=True, slots=True, eq=False)
class Hospitals:
    """What the hospitals of a study export, and the contract that they meet."""

    contract: dict[str, Any]
    write: Callable[[Path, int], None]
    """Write the hospital of a number into a folder of its site's name."""

    def study(self, folder: Path, plan: dict[str, Any]) -> Study:
        """Make the homes, with their cohorts, and a plan that nobody has looked at."""
        shutil.copytree(_homes(self), folder, dirs_exist_ok=True)
        return _study(folder, plan)


def _study(folder: Path, plan: dict[str, Any]) -> Study:
    nodes = {site: folder / site for site in SITES}
    study = Study(folder, folder / "small.plan.toml", folder / "aggregator", nodes)
    write_toml(study.plan, plan)
    return study


@cache
def _homes(hospitals: Hospitals) -> Path:
    """Make the homes with their cohorts once in a process; every study starts from a copy."""
    folder = temporary()
    shutil.copytree(exports(hospitals), folder, dirs_exist_ok=True)
    study = _study(folder, {})
    assert run(aggregator.cli.app, ["init", "--home", str(study.aggregator), "--name", "t"]) == 0
    for site in SITES:
        command("init", "--home", folder / site, "--site", site)
        ingest(study, site)
    return folder


@cache
def exports(hospitals: Hospitals) -> Path:
    """Write the contract and what each hospital exports, once in a process."""
    folder = temporary()
    write_toml(folder / "small.contract.toml", hospitals.contract)
    for number, site in enumerate(SITES):
        hospitals.write(folder / "data" / site, number)
    return folder


def temporary() -> Path:
    """Make a folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="consilium-study-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_hospital(folder: Path, number: int, *, patients: int = 30) -> None:
    """Write one invented hospital with small images."""
    site = SyntheticSite(
        name=folder.name,
        patients=patients,
        prevalence=0.5,
        rows=32,
        columns=32,
        photometric="MONOCHROME1" if number == 1 else "MONOCHROME2",
        bits_stored=8 if number else 12,
        transfer_syntax=ExplicitVRLittleEndian,
        modality="DX",
        manufacturer="Invented",
        gamma=1.0,
        noise=0.01,
        blur=0.5,
    )
    write_site(site, folder, seed=number)


SMALL = Hospitals(CONTRACT, write_hospital)


def write_toml(path: Path, fields: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomlkit.dumps(fields))


def command(*words: object, expect: int = 0) -> None:
    """Run a `hospital-node` command and hold its exit status."""
    assert run(hospital_node.cli.app, [str(one) for one in words]) == expect


def ingest(study: Study, site: str, *, expect: int = 0) -> None:
    home, data = study.folder / site, study.folder / "data" / site
    command(
        *("cohort", "ingest", "--home", home, "--contract", study.folder / "small.contract.toml"),
        *("--from", "folder", "--source", data / "dicom", "--labels", data / "labels.csv"),
        expect=expect,
    )


def approved(study: Study, site: str, *, private: bool, expect: int = 0) -> None:
    extra = [] if private else ["--without-privacy"]
    words = ("policy", "approve", study.plan, "--home", study.folder / site)
    command(*words, "--approver", "A. Steward", *extra, expect=expect)


Tamper = Callable[[str, Packet], Packet | None]


def witnessed(embedded: EmbeddedFederation, node: Node, packet: Packet) -> Packet:
    """Answer a packet beside which the log is shown; then every site cosigns what was shown."""
    federation = embedded.federation
    roster = federation.roster()
    shown = show(federation, roster, needed=1)
    note = shown.offers[0].partition("\n\n")[2]
    try:
        return replace(answer(node, replace(packet, audit=shown.canonical())), audit=b"")
    finally:
        for site, other in embedded.nodes.items():
            line = cosignature(note, name=witness_name(site), key=other.witness_key, seconds=1)
            part = Shared(first=0, events=(), head=note, cosignature=line)
            member = roster.member(site)
            assert member is not None
            assert federation.witnesses.keep(shown, part, member)


@dataclass(frozen=True, slots=True)
class Direct:
    """An exchange that calls the nodes one after the other; what crosses it can be changed."""

    nodes: dict[str, Node]
    tamper: Tamper = lambda _, reply: reply

    def __call__(
        self, packet: Packet, sites: Sequence[str], *, deadline_s: float
    ) -> Iterator[tuple[str, Packet | None]]:
        del deadline_s
        for site in sites:
            node = self.nodes.get(site)
            yield site, None if node is None else self.tamper(site, answer(node, packet))

    def tampering(self, tamper: Tamper) -> "Direct":
        return replace(self, tamper=tamper)


@contextmanager
def conducting(
    study: Study, tamper: Tamper = lambda _, reply: reply
) -> Iterator[tuple[EmbeddedFederation, Callable[[], RunState], list[Facts]]]:
    """Lend an open study, what runs it through a tampered exchange, and what was seen."""
    seen: list[Facts] = []
    with ExitStack() as stack:
        embedded = stack.enter_context(study.opened())

        def conducted() -> RunState:
            name = study.started(embedded.federation)
            exchange = Direct(embedded.nodes).tampering(tamper)
            return conduct(embedded.federation, name, exchange, seen.append)

        yield embedded, conducted, seen
