"""The root key is away between enrolments: what only verifies works without it."""

from pathlib import Path

import pytest

from aggregator.audit.bundle import bundled
from aggregator.config import AggregatorHome, load_root
from aggregator.federation import opened
from schemas.audit.events import Enrolled, Revoked
from schemas.errors import HomeRefused
from schemas.wire.keys import SigningKey
from tests.bundles import held
from tests.study import made


def test_a_run_and_its_bundle_need_no_root_key(tmp_path: Path) -> None:
    study = made(tmp_path / "study", privacy={"kind": "none"})
    with study.opened():
        """Every site is enrolled."""
    home = AggregatorHome(study.aggregator)
    home.root_key.rename(tmp_path / "in-a-safe")
    study.conducted()
    run = next(home.runs.glob("*/plan.json")).parent.name
    assert held(bundled(home, run), tmp_path).faults == []


def test_what_only_the_root_key_can_sign_is_refused_and_not_written_down(tmp_path: Path) -> None:
    study = made(tmp_path / "study")
    with study.opened():
        """Every site is enrolled."""
    home = AggregatorHome(study.aggregator)
    home.root_key.rename(tmp_path / "in-a-safe")
    with opened(study.aggregator) as federation:
        before = len([one for one in federation.journal.events() if isinstance(one.facts, Revoked)])
        with pytest.raises(HomeRefused, match="keys/root is not here, only it can sign"):
            federation.revoke("east")
        with pytest.raises(HomeRefused, match="keys/root is not here"):
            federation.enrol("south", SigningKey.generate().public, SigningKey.generate().public)
        told = [one.facts for one in federation.journal.events()]
        assert len([one for one in told if isinstance(one, Revoked)]) == before
        assert "south" not in {one.party for one in told if isinstance(one, Enrolled)}
        assert federation.roster().member("east") is not None


def test_another_root_key_brought_back_signs_nothing(tmp_path: Path) -> None:
    study = made(tmp_path / "study")
    home = AggregatorHome(study.aggregator)
    SigningKey.generate().save(home.root_key)
    with (
        opened(study.aggregator) as federation,
        pytest.raises(HomeRefused, match=r"not the key whose public half is in root\.pub"),
    ):
        federation.enrol("south", SigningKey.generate().public, SigningKey.generate().public)


@pytest.mark.parametrize("content", [b"", b"\xff", b"AAAA\n"])
def test_a_home_without_its_public_root_key_is_refused(tmp_path: Path, content: bytes) -> None:
    study = made(tmp_path / "study")
    home = AggregatorHome(study.aggregator)
    home.root_public.write_bytes(content)
    with pytest.raises(HomeRefused, match=r"root\.pub is missing or holds no public key"):
        load_root(home)
