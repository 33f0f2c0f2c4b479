"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Home: TypeAlias = Annotated[
    Path, typer.Option("--home", help="The aggregator's home directory.", metavar="DIR")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
