"""Commands that are loaded when they are called: those that need torch, beside those that do not.

A reviewer's `consilium verify` neither waits for torch nor needs it installed.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click
import typer
import typer.core

from schemas.command_help import explained
from schemas.errors import InputRefused

DEFERRED: Mapping[str, str] = MappingProxyType(
    {
        "init-weights": "Make the arrays that training starts from",
        "rehearse": "Train on invented patients with a plan's own mechanism",
        "run": "Conduct a run of a plan with everybody in this process",
        "demo": "Train one model across hospitals, judge it, and write the report",
        "export": "Write a released model as a MONAI bundle with a model card",
        "simulate": "Play a plan at many invented hospitals that take turns",
    }
)
"""By name, with how the help of each begins."""

_EXTRA = frozenset({"monai", "opacus", "PIL", "pydicom", "torch"})
"""What only the extra `node` brings."""


class DeferredCommand(click.Command):
    """A command by its name, until it is called."""

    def loaded(self) -> click.Command:
        """Load the command itself.

        Raises:
            InputRefused: the extra `node` is not installed.
        """
        assert self.name is not None  # noqa: S101 - each is made with its name
        place = self.name.replace("-", "_")
        try:
            module = importlib.import_module(f"deployment.cli.{place}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _EXTRA:
                raise
            message = f"command refused: {self.name} needs the extra node, which is not installed"
            raise InputRefused(
                message, next_step="install it here: pip install 'consilium[node]'"
            ) from None
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(self.name)(getattr(module, place))
        return explained(typer.main.get_command(app))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - as Click's own
    ) -> click.Context:
        """Load the command and let it read the rest of the line."""
        return self.loaded().make_context(info_name, args, parent=parent, **extra)


class WithDeferred(typer.core.TyperGroup):
    """A group whose first commands are the deferred ones."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - as Typer's own
        """Put the deferred commands before those that are loaded."""
        super().__init__(**fields)
        deferred = {
            name: DeferredCommand(name, short_help=f"{told}.") for name, told in DEFERRED.items()
        }
        self.commands = {**deferred, **self.commands}
