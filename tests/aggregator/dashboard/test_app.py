"""Whoever has the token may read; nobody may write, and nothing else answers."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx import Client, Response

from tests.aggregator.audit import runs
from tests.aggregator.dashboard import homes
from tests.aggregator.dashboard.homes import TOKEN

BEARER = {"Authorization": f"Bearer {TOKEN}"}
RUN = f"/runs/{runs.RUN}"
PATHS = ("/", RUN, f"/reports/{runs.RUN}", "/style.css", "/live.js")


def basic(password: str, name: str = "anyone") -> dict[str, str]:
    word = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {word}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    log = runs.private_run()
    home = homes.made(tmp_path_factory.mktemp("dashboard") / "home", log)
    homes.reported(home, log)
    (home.root / "secret").write_text("secret")
    with homes.served(home) as address, Client(base_url=address, timeout=60) as one:
        yield one


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/news"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Digest {TOKEN}"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic /w=="},
        {"Cookie": f"token={TOKEN}"},
        basic("", name=TOKEN),
        basic("wrong"),
    ],
)
def test_without_the_token_nothing_is_told(
    client: Client, path: str, headers: dict[str, str]
) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.text == "The token is needed.\n"
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [BEARER, basic(TOKEN), basic(TOKEN, name="")])
def test_the_token_opens_every_page_as_bearer_or_password(
    client: Client, path: str, headers: dict[str, str]
) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_what_is_not_the_dashboards_own(client: Client, path: str) -> None:
    for headers in (BEARER, {}):
        assert_forbids(client.get(path, headers=headers))


def assert_forbids(answer: Response) -> None:
    rules = answer.headers["content-security-policy"].split("; ")
    policy = {name: rest for name, _, rest in (rule.partition(" ") for rule in rules)}
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy.get("script-src", "'self'") == "'self'"
    assert "unsafe" not in policy.get("script-src", "")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_written_report_runs_no_script_at_all(client: Client) -> None:
    answer = client.get(f"/reports/{runs.RUN}", headers=BEARER)
    policy = answer.headers["content-security-policy"]
    assert "script-src" not in policy
    assert policy.endswith("sandbox")
    assert "<h1>" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_can_be_written(client: Client, method: str, path: str) -> None:
    assert client.request(method, path, headers=BEARER).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/runs/run-of-nobody",
        "/reports/run-of-nobody",
        "/runs/..%2f..%2fsecret",
        "/reports/..%2f..%2fsecret",
        "/reports/",
        "/docs",
        "/openapi.json",
        "/redoc",
        "/secret",
        "/keys/service",
    ],
)
def test_nothing_else_answers(client: Client, path: str) -> None:
    assert client.get(path, headers=BEARER).status_code == 404


def test_the_pages_show_all_that_stands(client: Client) -> None:
    page = re.sub(r"<[^>]+>|\s+", " ", client.get("/", headers=BEARER).text)
    for word in ("charite", "hannover", "leeds", "porto", "revoked", "every round"):
        assert word in page
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", client.get(RUN, headers=BEARER).text))
    for word in (
        "stratified AUROC 0.817",
        "inconclusive",
        "rejected",
        "Epsilon (RDP)",
        "unavailable",
        "its norm 81.3 is above",
        "charite, hannover, leeds none",
        "leeds charite, hannover",
    ):
        assert word in page, word


def test_a_home_that_does_not_verify_is_refused_with_the_next_step(tmp_path: Path) -> None:
    home = homes.made(tmp_path / "home", runs.empty_run())
    home.root_public.write_text(homes.GONE.public)
    with homes.served(home) as address, Client(base_url=address, timeout=60) as client:
        answer = client.get("/", headers=BEARER)
    assert answer.status_code == 500
    assert "next:" in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("harm", ["missing", "torn", "a folder"])
def test_an_error_has_every_header_and_names_no_file(tmp_path: Path, harm: str) -> None:
    """Whatever file of the home is harmed, each route answers, and says what to do next."""
    log = runs.private_run()
    home = homes.made(tmp_path / "home", log)
    homes.reported(home, log)
    files = [one for one in home.root.rglob("*") if one.is_file() and one.name != "nodes"]
    seen = set[int]()
    with homes.served(home) as address, Client(base_url=address, timeout=60) as client:
        for file in files:
            content = file.read_bytes()
            harmed(file, harm)
            for path in PATHS:
                answer = client.get(path, headers=BEARER)
                assert_forbids(answer)
                seen.add(answer.status_code)
                if answer.status_code in {500, 503}:
                    assert "next: " in answer.text, (file.name, path, answer.text)
                    assert str(tmp_path) not in answer.text
                    assert "Traceback" not in answer.text
            if file.is_dir():
                file.rmdir()
            file.write_bytes(content)
        assert [client.get(path, headers=BEARER).status_code for path in PATHS] == [200] * 5
    assert 503 in seen or harm == "torn"


def harmed(file: Path, harm: str) -> None:
    if harm == "torn":
        file.write_bytes(file.read_bytes()[:-7] + b"\xff")
        return
    file.unlink()
    if harm == "a folder":
        file.mkdir()
