"""A bar for work that takes long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

SILENT_S = 2.0
"""A progress bar appears after this long."""


class _Rate(ProgressColumn):
    """Files a second, once some are done."""

    def render(self, task: Task) -> Text:
        """Return the column's text."""
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


@contextmanager
def progressing(what: str) -> Iterator[Callable[[int, int], None]]:
    """Lend a bar on standard error that appears when the work takes long and somebody looks."""
    console = Console(stderr=True)
    columns = (
        *Progress.get_default_columns()[:-1],
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task, begun = bar.add_task(what, total=None), time.monotonic()

    def advance(done: int, files: int) -> None:
        bar.update(task, completed=done, total=files)
        if not bar.live.is_started and time.monotonic() - begun > SILENT_S:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()
