"""What `--help` shows: each example on a line of its own, each argument with its help.

* An example is never wrapped, so that it can be copied.
* Typer 0.20 escapes brackets for Rich where Rich is installed, also where its markup is off. Click
  8.5 forgets the help that Typer gives to an argument, and would list arguments a second time.
"""

import inspect
from collections.abc import Iterator

import click
import typer.core
from typer.models import ArgumentInfo
from typer.utils import get_params_from_function

__all__ = ["explained"]

typer.core.HAS_RICH = False

_EXAMPLE = "Example: "


def explained(command: click.Command) -> click.Command:
    """Mend the help of a command and of all beneath it; return it."""
    if command.help:
        command.help = "\n\n".join(_paragraphs(command.help))
    if command.callback is not None:
        _name_arguments(command)
    vars(command)["format_arguments"] = lambda *_: None
    if isinstance(command, click.Group):
        for one in command.commands.values():
            explained(one)
    return command


def _paragraphs(text: str) -> Iterator[str]:
    for one in inspect.cleandoc(text).split("\n\n"):
        if not one.startswith(_EXAMPLE):
            yield one
            continue
        examples = " ".join(one.split()).split(_EXAMPLE)[1:]
        # Click leaves what follows `\b` as it stands.
        yield "\n".join(["\b", *(f"{_EXAMPLE}{each.strip()}" for each in examples)])


def _name_arguments(command: click.Command) -> None:
    callback = inspect.unwrap(command.callback) if command.callback else None
    told = get_params_from_function(callback) if callback else {}
    for one in command.params:
        meta = told.get(one.name or "")
        if isinstance(one, typer.core.TyperArgument) and meta is not None:
            is_told = isinstance(meta.default, ArgumentInfo)
            one.help = one.help or (meta.default.help if is_told else None)
