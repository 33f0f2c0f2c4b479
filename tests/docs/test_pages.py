"""What the pages say is so: links, commands, statuses, fields, and the attacks they name."""

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from pydantic_core import PydanticUndefined, to_json

import aggregator.cli
import deployment.cli
import hospital_node.cli
from deployment.cli.deferred import DeferredCommand
from schemas import command_line
from schemas.base import Record
from schemas.checks import DIMENSIONS
from schemas.contract import DataContract
from schemas.errors import FederationError
from schemas.plan import TrainingPlan
from tests.docs.pages import DOCS, PAGES, ROOT, anchors, blocks, commands, links, named, rows

APPS = {
    "aggregator": aggregator.cli.app,
    "consilium": deployment.cli.app,
    "hospital-node": hospital_node.cli.app,
}


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


def test_every_page_is_reached_from_the_readme_or_the_index() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md", DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            waiting += [(page.parent / one.partition("#")[0]).resolve() for one in links(page)]
    assert set(PAGES) - reached == set()


def leaf(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that these words name, and the words after it."""
    command: click.Command = typer.main.get_command(APPS[words[0]])
    rest = words[1:]
    while isinstance(command, click.Group):
        assert rest, f"{words} names no command"
        assert rest[0] in command.commands, f"{words} names no command"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_shown_can_be_typed(page: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in commands(page):
        if words[0] == "make":
            assert set(words[1:]) <= set(targets), words
        else:
            command, rest = leaf(words)
            command.make_context(words[0], list(rest))


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for word, below in command.commands.items():
            yield from leaves(f"{name} {word}", below)
    else:
        yield name, command.loaded() if isinstance(command, DeferredCommand) else command


def test_every_command_is_listed_with_all_its_options() -> None:
    exist = {
        path: {one for parameter in command.params for one in _names(parameter)}
        for name, app in APPS.items()
        for path, command in leaves(name, typer.main.get_command(app))
    }
    listed = {
        cells[0].strip("`"): set(re.findall(r"`([^`]+)`", cells[1]))
        for heading, cells in rows(DOCS / "reference" / "commands.md")
        if heading in APPS and cells[0] != "command"
    }
    assert listed == exist


def _names(parameter: click.Parameter) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [(parameter.metavar or parameter.name or "").upper()]
    return [one for one in parameter.opts if one.startswith("--")]


def errors(root: type[FederationError]) -> Iterator[type[FederationError]]:
    for below in root.__subclasses__():
        yield below
        yield from errors(below)


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    others = (0, 1, command_line.INTERRUPTED, command_line.TERMINATED)
    exist: dict[int, set[str]] = {status: set() for status in others}
    for one in errors(FederationError):
        if one.__module__ == "schemas.errors":
            exist.setdefault(one.exit_status, set()).add(one.__name__)
    listed = {
        int(cells[0]): set(re.findall(r"`(\w+)`", cells[1]))
        for heading, cells in rows(DOCS / "reference" / "commands.md")
        if heading == "Exit statuses" and cells[0].isdigit()
    }
    assert listed == exist


Place = tuple[str, str | None]
"""A table of a TOML file and the kind of what it holds."""


def records(annotation: object) -> list[type[Record]]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return [annotation]
    return [one for part in typing.get_args(annotation) for one in records(part)]


def fields(model: type[Record], path: str = "") -> Iterator[tuple[Place, dict[str, str]]]:
    """Yield each table of a record with its fields and their defaults."""
    kind = model.model_fields.get("kind")
    own = {}
    for name, field in model.model_fields.items():
        below = records(field.annotation)
        for one in below:
            yield from fields(one, f"{path}.{name}".strip("."))
        if not below and name != "kind":
            own[name] = _default(field.default)
    yield (path, typing.get_args(kind.annotation)[0] if kind else None), own


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "needed"
    return "none" if value is None else f"`{to_json(value).decode().replace(',', ', ')}`"


def documented(page: Path) -> dict[Place, dict[str, str]]:
    found: dict[Place, dict[str, str]] = {}
    for heading in re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE):
        found |= {place: {} for place in _places(heading)}
    for heading, cells in rows(page):
        for place in _places(heading):
            if cells[0].startswith("`"):
                found[place][cells[0].strip("`")] = cells[1]
    return found


def _places(heading: str) -> list[Place]:
    if heading == "Top level":
        return [("", None)]
    kind = re.search(r'kind = "([a-z-]+)"', heading)
    return [
        (path, kind.group(1) if kind else None)
        for path in re.findall(r"`\[+([a-z_.]+)\]+`", heading)
    ]


@pytest.mark.parametrize(
    ("model", "page"),
    [(TrainingPlan, "reference/plan.md"), (DataContract, "data-contract.md")],
)
def test_every_field_stands_in_its_table_with_its_default(model: type[Record], page: str) -> None:
    assert documented(DOCS / page) == dict(fields(model))


def test_the_contract_of_the_page_is_one() -> None:
    (text,) = blocks(DOCS / "data-contract.md", "toml")
    assert DataContract.from_toml(text).id == "lesions"


def test_every_check_stands_in_the_table_of_its_dimension() -> None:
    listed = {
        code: cells[0]
        for heading, cells in rows(DOCS / "data-contract.md")
        if heading == "What is checked"
        for code in re.findall(r"`([a-z-]+)`", cells[1])
    }
    assert listed == dict(DIMENSIONS)


def claims() -> list[str]:
    """Return the claims of the threat model, one line each."""
    text = (DOCS / "threat-model.md").read_text()
    section = text.partition("## What cannot be done")[2].partition("\n## ")[0]
    return [" ".join(one.split()) for one in section.split("\n* ")[1:]]


def test_every_claim_of_the_threat_model_says_why_and_names_its_test() -> None:
    assert len(claims()) > 15
    for claim in claims():
        assert "because" in claim
        tests = re.findall(r"\]\(\.\./(tests/attacks/test_\w+\.py)\)", claim)
        assert tests, claim
        assert all((ROOT / one).is_file() for one in tests), claim


def test_every_attack_is_named_in_the_threat_model() -> None:
    text = " ".join(claims())
    attacks = sorted(path.name for path in (ROOT / "tests" / "attacks").glob("test_*.py"))
    assert [one for one in attacks if f"tests/attacks/{one}" not in text] == []
