"""Sign-off: who reviewed a run, when, and what that means (21 CFR 11.50)."""

from pathlib import Path
from typing import Literal

from aggregator.federation import Federation
from schemas.audit.events import SignedOff
from schemas.audit.verification.container import NotABundle
from schemas.audit.verification.integrity import opened, verify
from schemas.audit.verification.parties import PolicyUnfit
from schemas.errors import InputRefused, IntegrityLost
from schemas.names import Name, digest_of


def signed_off(
    federation: Federation,
    run: Name,
    bundle: Path,
    *,
    name: str,
    meaning: Literal["reviewed", "approved", "rejected"],
) -> SignedOff:
    """Return the event of a sign-off, after the bundle was verified.

    Raises:
        InputRefused: no bundle, or one of another run or federation.
        IntegrityLost: the bundle does not verify, and is not rejected.
    """
    try:
        found, findings = opened(bundle)
    except (NotABundle, PolicyUnfit) as error:
        message = f"sign-off refused: {bundle.name} is no bundle: {error}"
        raise InputRefused(message, next_step="make one: consilium bundle RUN --home DIR") from None
    verify(found, findings)
    found.container.close()
    root, _ = federation.roster_envelope()
    if (found.run, found.root) != (run, root):
        message = f"sign-off refused: {bundle.name} is of run {found.run}, {run} is signed off"
        raise InputRefused(message, next_step="name the bundle of this run and federation")
    if findings.faults and meaning != "rejected":
        message = (
            f"sign-off refused: {len(findings.faults)} faults were found in {bundle.name}, "
            "only a bundle without one can be reviewed or approved"
        )
        raise IntegrityLost(message, next_step=f"read them: consilium verify {bundle.name}")
    digest = digest_of(bundle.read_bytes())
    return SignedOff(run=run, bundle=digest, name=name, meaning=meaning)
