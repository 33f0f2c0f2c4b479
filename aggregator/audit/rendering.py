"""The report's page: one HTML file that needs nothing else.

* No script and no request to anywhere; style and plots stand inside the page.
* What is undefined is written out as a word with its reason.
"""

from dataclasses import dataclass

from aggregator.audit.operating import NamedEstimate, named_estimates
from aggregator.audit.plots import Plot, site_plots, stratified_plot
from aggregator.audit.records import Release, Report, SiteRow
from aggregator.gates.figures import edge
from schemas.audit.artefacts import OF_PATIENTS
from schemas.gate import METRIC_NAMES, SiteMetric
from schemas.names import SiteName
from schemas.pages.environment import environment, grouped, plain
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
class View:
    """What the template needs beside the report, arranged for reading."""

    stratified: Plot | None
    by_site: tuple[Plot, ...]
    never: tuple[str, ...]
    """Sites that have no figure at any judged round."""
    gaps: dict[str, str]
    """For each site, what is not drawn and why; empty when everything is."""
    metrics: tuple[dict[str, SiteMetric], ...]
    """For each judgement, the sites' figures by site."""
    left: tuple[tuple[SiteRow, tuple[Release, ...], tuple[Release, ...]], ...]
    """For each site what is computed from its patients, and what left beside it."""
    plan: dict[str, dict[str, str]]
    """The plan's fields as people read them, by group."""
    contract: dict[str, dict[str, str]]
    """The contract's fields, but those that the page shows in words."""
    estimates: tuple[tuple[NamedEstimate, ...], ...]
    """For each judgement, every figure of every site and of their sum."""
    threshold: str
    """The edge of the bins that stands for the gate's threshold."""
    metric: str
    """What models are judged by, in words."""
    unreached: tuple[int, ...]
    """Planned judged rounds without a verdict."""


def render(report: Report) -> str:
    """Return the page of a report."""
    template = environment("aggregator.audit").get_template("report.html.j2")
    return template.render(report=report, view=view_of(report))


def view_of(report: Report) -> View:
    """Arrange what a template needs beside the report."""
    judged = {one.verdict.round for one in report.judgements}
    by_site = site_plots(report)
    drawn = {one.site for one in by_site}
    return View(
        stratified=stratified_plot(report),
        by_site=by_site,
        never=tuple(one.site for one in report.sites if one.site not in drawn),
        gaps={one.site: _gaps(report, one.site) for one in report.sites},
        metrics=tuple({one.site: one for one in each.verdict.sites} for each in report.judgements),
        left=tuple((row, *_left(report, row.site)) for row in report.sites),
        plan=grouped(report.plan, "plan", besides={"sites"}),
        contract=grouped(report.facts.contract, "contract", besides=_IN_WORDS),
        estimates=tuple(named_estimates(one.verdict) for one in report.judgements),
        threshold=plain(_threshold(report.plan)),
        metric=METRIC_NAMES[report.plan.metric],
        unreached=tuple(one for one in report.plan.evaluation.rounds if one not in judged),
    )


def _left(report: Report, site: SiteName) -> tuple[tuple[Release, ...], tuple[Release, ...]]:
    own = [one for one in report.releases if one.site == site]
    return (
        tuple(one for one in own if one.artefact in OF_PATIENTS),
        tuple(one for one in own if one.artefact not in OF_PATIENTS),
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
        elif metric.value is None:
            undefined.append(one.verdict.round)
            reason = next(each.reason for each in one.undefined if each.site == site)
    told = [f"undefined at round {plain(undefined)} ({reason})"] if undefined else []
    told += [f"no usable reply at round {plain(silent)}"] if silent else []
    return "; ".join(told)
