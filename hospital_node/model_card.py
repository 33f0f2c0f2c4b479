"""The model card: what a released model is, what it was shown to do, and what it is not.

After Mitchell et al. 2019 (arXiv:1810.03993). Every figure is one that the sites released; none is
computed anew.
"""

from collections.abc import Iterator

from schemas.gate import Estimate, SiteMetric
from schemas.plan import NoPrivacy, TrainingPlan
from schemas.release import ModelRelease


def model_card(release: ModelRelease) -> str:
    """Write the card as Markdown."""
    return "\n".join(_lines(release)) + "\n"


def _lines(release: ModelRelease) -> Iterator[str]:
    plan, contract, manifest = release.plan, release.contract, release.manifest
    negative, positive = (one.meaning for one in contract.labels.classes)
    recipe = contract.preprocessing
    yield f"# {_plain(plan.title)}"
    yield ""
    yield f"* Model: `{manifest.arrays}`"
    yield f"* Federation {release.federation}, run {manifest.run}, round {manifest.round}"
    yield f"* Plan {plan.name}: `{manifest.plan}`"
    yield f"* Contract {contract.id} {contract.version}: `{manifest.contract}`"
    yield f"* Released: {release.issued}"
    yield ""
    yield "## What it says"
    yield ""
    if plan.metric == "dice":
        yield f"For each pixel of one image, a logit of *{_plain(positive)}* against"
        yield f"*{_plain(negative)}*; a pixel whose sigmoid reaches {plan.gate.threshold:g} is"
        yield "marked. It says nothing else, and nothing of images that the contract refuses."
    else:
        yield f"For one image, a logit of *{_plain(positive)}* against *{_plain(negative)}*; its"
        yield "sigmoid is the probability. It says nothing else, and nothing of images that the"
        yield "contract refuses."
    yield ""
    yield "## What it is for"
    yield ""
    yield f"{_plain(contract.purpose)}. It is no medical device; a score is no diagnosis."
    yield ""
    yield "## Data"
    yield ""
    yield f"* {_plain(contract.title)}. Patients: {_plain(contract.cohort.inclusion)}."
    yield f"* Modalities: {', '.join(contract.image.modalities)}; seen at {recipe.height} x"
    yield f"  {recipe.width} pixels, after the contract's recipe."
    yield f"* Labels: {_plain(contract.labels.source) or 'as the contract defines them'}."
    yield ""
    yield "## Training"
    yield ""
    yield from _training(plan, [one.site for one in manifest.sources])
    yield ""
    yield "## What it was shown to do"
    yield ""
    yield from _shown(release)
    yield ""
    yield "## Limits"
    yield ""
    yield "* The figures are of the hospitals' own validation patients. Elsewhere it may do worse:"
    yield "  other scanners, other patients, another prevalence."
    yield "* Scores are known to their bin only, and private figures carry noise."
    yield "* A hospital that uses it should watch its calibration there."


def _training(plan: TrainingPlan, sources: list[str]) -> Iterator[str]:
    yield f"* Network: {plan.network.kind}; algorithm: {plan.aggregation.algorithm}."
    yield f"* Sites whose updates are in its last round: {', '.join(sources)}."
    if isinstance(plan.privacy, NoPrivacy):
        yield "* NO PRIVACY GUARANTEE: nothing bounds what the model tells of a training patient."
    else:
        yield (
            f"* Patient-level differential privacy: sampling rate {plan.privacy.sampling_rate:g}, "
            f"noise {plan.privacy.noise_multiplier:g}, delta {plan.privacy.delta:g}; epsilon "
            "stands in each hospital's ledger."
        )


def _shown(release: ModelRelease) -> Iterator[str]:
    if release.plan.metric == "dice":
        yield "| site | Dice |"
        yield "|---|---|"
        for one in release.verdict.sites:
            yield f"| {one.site} | {_metric(one)} |"
        yield ""
        yield "Dice is the mean over a site's patients, of how far marked and true pixels agree."
        yield "After ±: one standard deviation of the noise that privacy adds. The gate said:"
    else:
        yield from _scores(release)
    yield ""
    yield f"* {_plain(release.verdict.reason)}"
    for check in release.checks:
        yield f"* {_plain(check.reason)}"


def _scores(release: ModelRelease) -> Iterator[str]:
    yield "| site | AUROC | sensitivity | specificity | calibration error |"
    yield "|---|---|---|---|---|"
    for one in release.verdict.sites:
        yield _row(one)
    yield ""
    threshold = release.plan.gate.threshold
    yield f"Sensitivity and specificity are at the threshold {threshold:g}. After ±: one standard"
    yield "deviation of the noise that privacy adds. The gate said:"


def _metric(metric: SiteMetric) -> str:
    if metric.value is None:
        return "undefined"
    return f"{metric.value:.3f}" + (f" ± {metric.deviation:.3f}" if metric.deviation else "")


def _row(metric: SiteMetric) -> str:
    figures = metric.figures
    cells = (figures.sensitivity, figures.specificity, figures.calibration_error)
    return f"| {metric.site} | {_metric(metric)} | " + " | ".join(map(_cell, cells)) + " |"


def _cell(found: Estimate | None) -> str:
    if found is None:
        return "undefined"
    return f"{found.value:.3f}" + (f" ± {found.noise:.3f}" if found.noise else "")


def _plain(text: str) -> str:
    """Put a person's words on one line, without the marks that Markdown and HTML read."""
    kept = "".join(" " if one in "<>|`[]*_#\n" else one for one in text)
    return " ".join(kept.split()).rstrip(".")
