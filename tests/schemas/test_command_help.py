"""What every command says of itself."""

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile

import click
import pytest
import typer

import aggregator.cli
import deployment.cli
import hospital_node.cli
from deployment.cli.deferred import DeferredCommand
from schemas.command_line import run

APPS: dict[str, typer.Typer] = {
    "aggregator": aggregator.cli.app,
    "consilium": deployment.cli.app,
    "hospital-node": hospital_node.cli.app,
}


def paths(name: str, command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with the words that call it."""
    command = command.loaded() if isinstance(command, DeferredCommand) else command
    yield (name,), command
    for word, one in command.commands.items() if isinstance(command, click.Group) else ():
        for words, each in paths(word, one):
            yield (name, *words), each


COMMANDS = {
    " ".join(words): (words, command)
    for name, app in APPS.items()
    for words, command in paths(name, typer.main.get_command(app))
}


@pytest.mark.parametrize(("words", "command"), COMMANDS.values(), ids=COMMANDS)
def test_every_command_shows_its_examples_and_what_it_needs(
    words: tuple[str, ...], command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(APPS[words[0]], [*words[1:], "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\\" not in shown
    assert "\b" not in shown
    needed = sum(one.required for one in command.params)
    assert shown.count("required]") == needed
    if isinstance(command, click.Group):
        return
    examples = re.findall(r"^  Example: (.*)$", shown, re.MULTILINE)
    assert examples
    assert shown.count("Example:") == len(examples)
    for one in examples:
        assert called(shlex.split(one)) is command
    _, _, arguments = shown.partition("\nArguments:\n")
    for line in arguments.partition("\n\n")[0].splitlines():
        assert len(line.split()) > 2, line  # more than its name and that it is required


def called(typed: list[str]) -> click.Command:
    """Return the command that words call; every option of theirs is one that it has.

    Settings of the environment may stand before them, as a shell takes them.
    """
    typed = list(dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=.*", word), typed))
    known = [found for found in COMMANDS.values() if typed_as(typed, found[0])]
    words, command = max(known, key=lambda one: len(one[0]))
    options = {word for one in command.params for word in one.opts}
    named = {word.partition("=")[0] for word in typed[len(words) :] if word.startswith("--")}
    assert named <= options, (typed, named - options)
    return command


def typed_as(typed: list[str], words: tuple[str, ...]) -> bool:
    return tuple(typed[: len(words)]) == words
