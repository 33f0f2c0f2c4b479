"""Commands of this project in this process, each shown as a person would type it."""

import shlex

import typer
from rich.console import Console


class Shell:
    """Runs commands and shows them."""

    def __init__(self, stage: Console) -> None:
        self._stage = stage

    def run(self, app: typer.Typer, name: str, *arguments: object) -> int:
        """Run one command and return its exit status; its refusal is raised."""
        words = [str(one) for one in arguments]
        self.say(f"$ {name} {shlex.join(words)}")
        command = typer.main.get_command(app)
        status = command.main(args=words, prog_name=name, standalone_mode=False)
        return status if isinstance(status, int) else 0

    def say(self, line: str) -> None:
        """Show a line as it is."""
        self._stage.print(line, soft_wrap=True, highlight=False, markup=False)
