"""What a bundle tells of its run, read once: typed events by log, plan, manifests, evaluations."""

from dataclasses import dataclass, field
from typing import TypeVar

import rfc8785

from schemas.audit.events import AuditEvent
from schemas.audit.notes import aggregator_origin, site_origin
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.integrity import Bundle
from schemas.audit.verification.log import Event
from schemas.base import Record
from schemas.checkpoint import CheckpointManifest
from schemas.conformance import ConformanceReport
from schemas.contract import DataContract
from schemas.errors import EnvelopeRefused, InvalidRecord
from schemas.names import Digest, PublicKeys, SiteName, digest_of
from schemas.plan import TrainingPlan
from schemas.update import Evaluation
from schemas.wire.envelope import opened

F = TypeVar("F", bound=Record)


@dataclass(frozen=True, slots=True)
class Story:
    """A run as its bundle tells it."""

    run: str
    own: str
    """Origin of the aggregator's log."""
    plan: TrainingPlan
    contract: DataContract
    manifests: dict[Digest, CheckpointManifest]
    evaluations: dict[Digest, Evaluation]
    """By the digest of their envelope."""
    reports: dict[Digest, ConformanceReport]
    """By the digest of their envelope."""
    signers: dict[SiteName, PublicKeys]
    """The keys that each site of the plan ever signed with."""
    events: dict[str, list[tuple[int, AuditEvent]]] = field(default_factory=dict)
    """By origin, with their index; what this version cannot read is left out."""

    def stated(self, origin: str, kind: type[F]) -> list[tuple[int, F]]:
        """Return what one log states of one kind."""
        found = ((index, event.facts) for index, event in self.events.get(origin, ()))
        return [(index, facts) for index, facts in found if isinstance(facts, kind)]

    def sites(self) -> dict[str, str]:
        """Return each site's origin by its name."""
        origins = (one for one in self.events if one != self.own)
        return {one.removeprefix("site/"): one for one in sorted(origins)}

    def take(self, origin: str, index: int, event: Event, findings: Findings) -> None:
        """Read an event; one of another version is told and left out."""
        told = self.events.setdefault(origin, [])
        try:
            told.append((index, AuditEvent.from_canonical(rfc8785.dumps(event))))
        except (InvalidRecord, rfc8785.CanonicalizationError):
            facts = event.get("facts")
            kind = facts.get("kind") if isinstance(facts, dict) else None
            findings.remark(
                origin,
                index,
                f"an event that this version cannot read (kind {str(kind)[:60]!r})",
                "Its integrity holds; what it means was not checked.",
            )


def story_of(bundle: Bundle, findings: Findings) -> Story | None:
    """Read a bundle's files; None when its plan or contract cannot be read, which is told."""
    container = bundle.container
    try:
        plan = TrainingPlan.from_canonical(container.read("plan.json"))
        contract = DataContract.from_canonical(container.read("contract.json"))
    except InvalidRecord as error:
        findings.fault("plan.json", None, error.message, "The run's plan or contract was changed.")
        return None
    manifests, evaluations = dict[Digest, CheckpointManifest](), dict[Digest, Evaluation]()
    reports = dict[Digest, ConformanceReport]()
    for name in container.entries:
        content = container.read(name) if name.startswith(_READ) else b""
        try:
            if name.startswith("checkpoints/"):
                manifest = CheckpointManifest.from_canonical(content)
                manifests[manifest.digest] = manifest
            elif name.startswith("evaluations/"):
                site = name.removesuffix(".json").partition("-")[2]
                evaluations[digest_of(content)] = opened(
                    content, Evaluation, key=_keys(bundle, site)
                )
            elif name.startswith("conformance/"):
                site = name.removeprefix("conformance/").rpartition("-")[0]
                reports[digest_of(content)] = opened(
                    content, ConformanceReport, key=_keys(bundle, site)
                )
        except (InvalidRecord, EnvelopeRefused):
            findings.fault(name, None, "it cannot be read, or is not signed", "It was changed.")
    own = aggregator_origin(bundle.federation)
    signers = {one.site: _keys(bundle, one.site) for one in plan.sites}
    return Story(bundle.run, own, plan, contract, manifests, evaluations, reports, signers)


def _keys(bundle: Bundle, site: str) -> PublicKeys:
    """Return the keys that a site ever signed with; the log says by digest what came in time."""
    return bundle.reigns.signers(site_origin(site))


_READ = ("checkpoints/", "evaluations/", "conformance/")
