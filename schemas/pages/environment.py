"""Templates of pages: every text is escaped, and an unknown name is an error, never a blank."""

from collections.abc import Collection, Iterator
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from schemas.base import Record


@cache
def environment(*packages: str) -> Environment:
    """Return the environment of these packages' templates, and of the shared ones."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(one) for one in (*packages, "schemas.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        brief=_brief, count=_count, figure=_figure, moment=_moment, plain=plain, short=_short
    )
    return made


def grouped(record: Record, title: str, *, besides: Collection[str]) -> dict[str, dict[str, str]]:
    """Flatten a record, its own fields first, without those that stand elsewhere on the page."""
    groups: dict[str, dict[str, str]] = {title: {}}
    for name, value in record.model_dump(mode="json", exclude=set(besides)).items():
        if isinstance(value, dict):
            groups[name] = {path: plain(one) for path, one in _leaves(value)}
        else:
            groups[title][name] = plain(value)
    return groups


def plain(value: object) -> str:
    """Write a value for people: the shortest form that is exact."""
    match value:
        case None:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.12g}"
        case list() | tuple():
            return ", ".join(plain(one) for one in value) or "none"
        case dict():
            return " ".join(f"{name} {plain(one)}" for name, one in value.items())
        case _:
            return str(value)


def _leaves(table: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _count(value: int) -> str:
    return f"{value:,}"


def _figure(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


def _brief(value: float) -> str:
    return f"{value:.4g}"


def _moment(value: str) -> str:
    """Write a moment for people."""
    return f"{_short(value)} UTC"


def _short(value: str) -> str:
    """Write a moment to the second, for a column that names its zone."""
    return value[:19].replace("T", " ")
