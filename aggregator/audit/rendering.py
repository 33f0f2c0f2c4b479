"""The report's page: one HTML file that needs nothing else.

* No script and no request to anywhere; style and plots stand inside the page.
* Every text is escaped; an unknown name in a template is an error, never a blank.
* What is undefined is written out as a word with its reason.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from aggregator.audit.operating import NamedEstimate, named_estimates
from aggregator.audit.plots import Plot, site_plots, stratified_plot
from aggregator.audit.records import Release, Report, SiteRow
from aggregator.gates.figures import edge
from schemas.base import Record
from schemas.gate import SiteMetric
from schemas.names import SiteName
from schemas.plan import TrainingPlan

_IN_WORDS = {
    "id",
    "version",
    "status",
    "title",
    "purpose",
    "owner",
    "legal_references",
    "labels",
}


@dataclass(frozen=True, slots=True)
class _View:
    """What the template needs beside the report, arranged for reading."""

    stratified: Plot | None
    by_site: tuple[Plot, ...]
    never: tuple[str, ...]
    """Sites that have no figure at any judged round."""
    gaps: dict[str, str]
    """For each site, what is not drawn and why; empty when everything is."""
    metrics: tuple[dict[str, SiteMetric], ...]
    """For each judgement, the sites' figures by site."""
    left: tuple[tuple[SiteRow, tuple[Release, ...]], ...]
    plan: dict[str, dict[str, str]]
    """The plan's fields as people read them, by group."""
    contract: dict[str, dict[str, str]]
    """The contract's fields, but those that the page shows in words."""
    estimates: tuple[tuple[NamedEstimate, ...], ...]
    """For each judgement, every figure of every site and of their sum."""
    threshold: str
    """The edge of the bins that stands for the gate's threshold."""
    unreached: tuple[int, ...]
    """Planned judged rounds without a verdict."""


def render(report: Report) -> str:
    """Return the page of a report."""
    template = _environment().get_template("report.html.j2")
    return template.render(report=report, view=_view(report))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("aggregator.audit", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        brief=_brief, count=_count, figure=_figure, moment=_moment, plain=_plain, short=_short
    )
    return environment


def _view(report: Report) -> _View:
    judged = {one.verdict.round for one in report.judgements}
    by_site = site_plots(report)
    drawn = {one.site for one in by_site}
    return _View(
        stratified=stratified_plot(report),
        by_site=by_site,
        never=tuple(one.site for one in report.sites if one.site not in drawn),
        gaps={one.site: _gaps(report, one.site) for one in report.sites},
        metrics=tuple({one.site: one for one in each.verdict.sites} for each in report.judgements),
        left=tuple(
            (row, tuple(one for one in report.releases if one.site == row.site))
            for row in report.sites
        ),
        plan=_grouped(report.plan, "plan", besides={"sites"}),
        contract=_grouped(report.facts.contract, "contract", besides=_IN_WORDS),
        estimates=tuple(named_estimates(one.verdict) for one in report.judgements),
        threshold=_plain(_threshold(report.plan)),
        unreached=tuple(one for one in report.plan.evaluation.rounds if one not in judged),
    )


def _threshold(plan: TrainingPlan) -> float:
    return edge(plan.gate.threshold, plan.evaluation.bins) / plan.evaluation.bins


def _gaps(report: Report, site: SiteName) -> str:
    """Say at which judged rounds a site has no figure; the latest reason stands for its like."""
    silent, undefined, reason = [], [], ""
    for one in report.judgements:
        metric = next((each for each in one.verdict.sites if each.site == site), None)
        if metric is None:
            silent.append(one.verdict.round)
        elif metric.auroc is None:
            undefined.append(one.verdict.round)
            reason = next(each.reason for each in one.undefined if each.site == site)
    told = [f"undefined at round {_plain(undefined)} ({reason})"] if undefined else []
    told += [f"no usable reply at round {_plain(silent)}"] if silent else []
    return "; ".join(told)


def _grouped(record: Record, title: str, *, besides: Collection[str]) -> dict[str, dict[str, str]]:
    """Flatten a record, its own fields first, without those that stand elsewhere on the page."""
    groups: dict[str, dict[str, str]] = {title: {}}
    for name, value in record.model_dump(mode="json", exclude=set(besides)).items():
        if isinstance(value, dict):
            groups[name] = {path: _plain(one) for path, one in _leaves(value)}
        else:
            groups[title][name] = _plain(value)
    return groups


def _leaves(table: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(value: object) -> str:
    """Write a value of the plan: the shortest form that is exact."""
    match value:
        case None:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.12g}"
        case list() | tuple():
            return ", ".join(_plain(one) for one in value) or "none"
        case dict():
            return " ".join(f"{name} {_plain(one)}" for name, one in value.items())
        case _:
            return str(value)


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
