"""How every command ends: with results on standard output or a refusal on standard error.

Its exit status is one of these.

  0  done
  1  a verification found faults, or an unexpected failure
  2  an argument or a file that a person wrote cannot be used
  3  a home directory is missing, in use or not private
  4  the hospital's data do not fit
  5  the hospital's policy does not allow it
  6  another party's message or absence
  7  stored state that does not verify
130  interrupted
143  told to end (SIGTERM)

An interruption, by either, ends the command in order: journals are sealed, locks released. It is
what a command waits for that serves until told to stop, which therefore ends with 0.
"""

import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import ParamSpec

import click
import typer
from pydantic import ValidationError

from schemas.command_help import explained
from schemas.errors import FederationError, HomeRefused, InputRefused

INTERRUPTED = 130
TERMINATED = 143

P = ParamSpec("P")


def until_told(command: Callable[P, None]) -> Callable[P, None]:
    """Make the first SIGTERM or Control-C the end that a command waits for, and not a failure."""

    @wraps(command)
    def serving(*words: P.args, **options: P.kwargs) -> None:
        with suppress(KeyboardInterrupt):
            command(*words, **options)

    return serving


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status; say a refusal and its next step."""
    # Opacus sets the root logger up when it is imported; the last word is the command's.
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s", force=True)
    command = explained(typer.main.get_command(app))
    told = threading.Event()
    try:
        with _ending_in_order(told):
            result = command.main(args=arguments, standalone_mode=False)
    except FederationError as error:
        say_refusal(error)
        return error.exit_status
    except OSError as error:
        refusal: FederationError = HomeRefused(
            f"command refused: a file or folder cannot be used ({error.strerror or 'unknown'})",
            next_step="check that it exists, that it belongs to you, and that the disk has room",
        )
        say_refusal(refusal)
        return refusal.exit_status
    except ValidationError as error:
        refusal = InputRefused(
            f"command refused: {error.title} cannot hold {error.error_count()} of the values given",
            next_step="check the command's values against docs/reference/",
        )
        say_refusal(refusal)
        return refusal.exit_status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        result = INTERRUPTED
    if result == INTERRUPTED:  # typer turns Control-C into this result
        sys.stderr.write(
            "interrupted: what was saved stands; a run goes on with --resume and its name\n"
        )
        return TERMINATED if told.is_set() else INTERRUPTED
    return result if isinstance(result, int) else 0


@contextmanager
def _ending_in_order(told: threading.Event) -> Iterator[None]:
    """Take the first SIGTERM as Control-C, and set `told`; a second one ends the process at once.

    Signals are the main thread's; elsewhere this does nothing.
    """

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        told.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say_refusal(error: FederationError) -> None:
    """Write a refusal and its next step to standard error."""
    sys.stderr.write(f"{error.message}\n")
    if error.next_step:
        sys.stderr.write(f"next: {error.next_step}\n")


def say_json(value: object) -> None:
    """Write one JSON object on one line of standard output."""
    sys.stdout.write(json.dumps(value, allow_nan=False, sort_keys=True) + "\n")
    sys.stdout.flush()
