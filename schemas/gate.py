"""Model gates: what a plan demands of a candidate, and the verdict given."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from schemas.base import Record
from schemas.names import Digest, Name, SiteName, Text

Metric: TypeAlias = Literal["auroc", "dice"]
"""What a gate holds models against: AUROC, or the mean Dice coefficient of patients."""

METRIC_NAMES: Mapping[Metric, str] = MappingProxyType({"auroc": "AUROC", "dice": "Dice"})

Outcome: TypeAlias = Literal["accepted", "rejected", "inconclusive"]


class ModelGate(Record):
    """A candidate against the accepted model, on the sites' evaluation histograms.

    The metric is the stratified AUROC: the mean over sites of each site's own, since a pooled one
    can be bought by telling sites apart. Of a segmentation it is the stratified Dice, each site's
    being the mean over its patients. Differences carry the noise of both histograms at
    `confidence`.
    """

    floor: float = Field(default=0.5, ge=0, le=1)
    """The first accepted model must reach it; later ones are held against the accepted one."""
    margin: float = Field(default=0.02, ge=0, le=1)
    """A stratified loss up to this much is tolerated."""
    site_margin: float = Field(default=0.1, ge=0, le=1)
    """A loss at one large enough site up to this much is tolerated."""
    site_margins: dict[SiteName, Annotated[float, Field(ge=0, le=1)]] = Field(default={})
    """Sites with a margin of their own, in place of `site_margin`."""
    site_min_class_weight: float = Field(default=10.0, gt=0, le=1e9)
    """A site has a figure of its own when each class weighs at least this many patients; of a
    segmentation, all patients together."""
    min_sites: int = Field(default=1, ge=1)
    """Sites with a figure of their own that a verdict needs."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    burden: Literal["candidate", "accepted"] = "accepted"
    """Who must prove: `candidate`: accepted only if a loss over the margin is excluded;
    `accepted`: rejected only if a loss over the margin is shown."""
    max_rejections: int = Field(default=3, ge=1)
    """Rejections in a row that stop the run."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Scores from here on call a finding; the nearest inner edge of the bins stands for it.
    Of a segmentation, a pixel's score."""
    min_sensitivity: float | None = Field(default=None, ge=0, le=1)
    """At the threshold, the mean over sites; every candidate must reach it."""
    max_calibration_error: float | None = Field(default=None, ge=0, le=1)
    """Expected calibration error, the mean over sites; no candidate may pass it."""

    def margin_at(self, site: SiteName) -> float:
        """Return the loss that is tolerated at one site."""
        return self.site_margins.get(site, self.site_margin)


class ReleaseCriteria(Record):
    """What the accepted model must show at the end of a run before any hospital gets it.

    Each bears on the mean over the sites that have the figure; noise is weighed as the gate weighs
    it. Whatever is not shown as the gate demands is not released.
    """

    min_auroc: float | None = Field(default=None, ge=0, le=1)
    """Stratified."""
    min_dice: float | None = Field(default=None, ge=0, le=1)
    """Stratified; of a segmentation."""
    min_sensitivity: float | None = Field(default=None, ge=0, le=1)
    """At the gate's threshold."""
    min_specificity: float | None = Field(default=None, ge=0, le=1)
    """At the gate's threshold."""
    max_calibration_error: float | None = Field(default=None, ge=0, le=1)
    min_sites: int = Field(default=1, ge=1)
    """Sites with a figure of their own."""


class Estimate(Record):
    """A figure from a noised histogram, with its two uncertainties apart."""

    value: float
    noise: float = Field(ge=0)
    """Standard deviation from the noise of the histogram."""
    sampling: float = Field(ge=0)
    """Standard deviation from which patients happen to be the validation patients."""
    bias: float = Field(default=0.0, ge=0)
    """The noise raises the value by this much at most, beside its deviation."""


class Figures(Record):
    """What a model does at the gate's threshold, and how well its scores are calibrated.

    None: undefined, too few patients bear the figure.
    """

    sensitivity: Estimate | None = None
    """Wilson 1927 for the sampling."""
    specificity: Estimate | None = None
    """As sensitivity."""
    calibration_error: Estimate | None = None
    """Expected calibration error: the mean distance of score and frequency over the bins."""
    calibration_in_the_large: Estimate | None = None
    """Frequency of findings less the mean score; above 0 the scores are too low."""


class SiteMetric(Record):
    """One site's figure as released."""

    site: SiteName
    auroc: float | None
    """None: undefined, a class is missing or too light; or a segmentation."""
    dice: float | None = None
    """Mean over the site's patients; None: undefined, or no segmentation."""
    deviation: float | None
    """Standard deviation from the noise of the histogram alone."""
    sampling_deviation: float | None = None
    """Standard deviation from the sampling of patients (Hanley and McNeil 1982)."""
    negatives: float | None
    positives: float | None
    """Noised patient weights of the two classes; None of a segmentation."""
    patients: float | None = None
    """Noised weight of all patients of a segmentation."""
    lowest_tenth: tuple[float, float] | None = None
    """Where the Dice lies that a tenth of the patients do not pass, with noise and sampling, at
    the gate's confidence; None: undefined, or no segmentation."""
    figures: Figures = Figures()

    @property
    def value(self) -> float | None:
        """The gate's metric here; None: undefined."""
        return self.auroc if self.patients is None else self.dice


class CheckResult(Record):
    """One check of a gate: what was found, what was allowed."""

    check: Name
    outcome: Outcome
    found: float | None
    allowed: float
    deviation: float | None = None
    site: SiteName | None = None
    reason: Text


class Verdict(Record):
    """What a gate decided about one candidate, and why."""

    round: int = Field(ge=1)
    candidate: Digest
    accepted: Digest
    """The accepted checkpoint that the candidate was held against."""
    outcome: Outcome
    reason: Text
    metric: Metric = "auroc"
    auroc: float | None
    """Stratified; None: undefined, or a segmentation."""
    dice: float | None = None
    """As AUROC, of a segmentation."""
    sites: tuple[SiteMetric, ...]
    pooled: Figures = Figures()
    """Of the sum of the sites' histograms."""
    checks: tuple[CheckResult, ...] = Field(min_length=1)

    @property
    def value(self) -> float | None:
        """The stratified metric; None: undefined."""
        return self.auroc if self.metric == "auroc" else self.dice
