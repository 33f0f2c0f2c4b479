"""Verdicts, figures and checks of made-up runs."""

from schemas.gate import CheckResult, Estimate, Figures, Outcome, SiteMetric, Verdict
from schemas.names import digest_of
from tests.aggregator.audit.plans import INITIAL


def model(number: int) -> str:
    return digest_of(b"model %d" % number)


def at_threshold(noise: float = 0.03, *, light: bool = False) -> Figures:
    """Figures whose intervals reach past 1 in one case, and of which a light site lacks one."""
    return Figures(
        sensitivity=Estimate(value=0.9512, noise=noise, sampling=0.031),
        specificity=None if light else Estimate(value=0.7204, noise=noise, sampling=0.044),
        calibration_error=Estimate(value=0.1187, noise=noise, sampling=0.03, bias=0.06),
        calibration_in_the_large=Estimate(value=-0.0421, noise=noise, sampling=0.03),
    )


def metric(site: str, auroc: float | None, deviation: float | None = 0.031) -> SiteMetric:
    light = auroc is None
    return SiteMetric(
        site=site,
        auroc=auroc,
        deviation=None if light else deviation,
        sampling_deviation=None if light else 0.038,
        negatives=1.8 if light else 88.4,
        positives=61.3,
        figures=at_threshold(deviation or 0.0, light=light),
    )


def verdict(number: int, outcome: Outcome, sites: tuple[SiteMetric, ...]) -> Verdict:
    figures = [one.auroc for one in sites if one.auroc is not None]
    mean = sum(figures) / len(figures) if figures else None
    first = CheckResult(
        check="min-sites",
        outcome="accepted",
        found=2.0,
        allowed=2.0,
        reason="2 sites with a figure",
    )
    second = CheckResult(
        check="stratified-loss",
        outcome=outcome,
        found=-0.0123,
        allowed=0.02,
        deviation=0.0217,
        reason="stratified AUROC rose by 0.012 (noise deviation 0.022)",
    )
    return Verdict(
        round=number,
        candidate=model(number),
        accepted=INITIAL,
        outcome=outcome,
        reason=f"{outcome}: {second.reason}",
        auroc=mean,
        sites=sites,
        pooled=at_threshold(0.02) if mean is not None else Figures(),
        checks=(first, second),
    )


def release_check(found: float, allowed: float) -> CheckResult:
    says = "reaches" if found >= allowed else "misses"
    return CheckResult(
        check="auroc",
        outcome="accepted" if found >= allowed else "rejected",
        found=found,
        allowed=allowed,
        reason=f"stratified AUROC {found:.3f} {says} the least of {allowed:.3f}",
    )
