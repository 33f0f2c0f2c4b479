"""The whole verification of a bundle: its integrity, and all that its events amount to."""

from dataclasses import dataclass
from pathlib import Path

from aggregator.verification.meaning import Derived, derived
from aggregator.verification.story import story_of
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.integrity import Bundle, opened, verify

__all__ = ["Verified", "verified"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle says of itself, what was found in it, and what was computed again."""

    bundle: Bundle
    """Closed already: nothing more can be read from it."""
    findings: Findings
    derived: Derived


def verified(path: Path, policy: str | None = None) -> Verified:
    """Verify a bundle: integrity, lineage, every site's epsilon and every verdict.

    Raises:
        NotABundle: another form, or a list or roster that is not signed.
        PolicyUnfit: a policy that cannot be read.
    """
    bundle, findings = opened(path, policy)
    try:
        return Verified(bundle, findings, _derived(bundle, findings))
    finally:
        bundle.container.close()


def _derived(bundle: Bundle, findings: Findings) -> Derived:
    story = story_of(bundle, findings)
    if story is None:
        verify(bundle, findings)
        return Derived()
    verify(
        bundle,
        findings,
        lambda origin, index, event: story.take(origin, index, event, findings),
    )
    return derived(story, findings)
