"""The page in a real browser: it loads without a complaint and prints."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aggregator.audit.rendering import render
from aggregator.audit.report import report
from tests.aggregator.audit import runs

CHROMIUM = shutil.which("chromium") or ""
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    log = runs.private_run()
    made = report(log.events, plan=log.plan, run=runs.RUN, facts=log.facts())
    path = tmp_path / "report.html"
    path.write_text(render(made), encoding="utf-8")
    return path


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    profile = f"--user-data-dir={page.parent / 'profile'}"
    return subprocess.run(  # noqa: S603 (every argument is written in this file)
        [CHROMIUM, *QUIET, profile, *options, page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def test_the_page_loads_whole_and_without_a_console_message(page: Path) -> None:
    result = browse(page, "--dump-dom")
    assert len(re.findall(r"<section id=", result.stdout)) == 11
    assert result.stdout.rstrip().endswith("</html>")
    assert "CONSOLE" not in result.stderr


def test_the_page_prints(page: Path) -> None:
    target = page.with_suffix(".pdf")
    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
