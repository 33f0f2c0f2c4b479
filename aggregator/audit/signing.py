"""Sign-off: who reviewed a run, when, and what that means (21 CFR 11.50).

* The verification is the whole one of `consilium verify`.
* What is verified is a copy made here, and the digest is that of the copy: a file that is changed
  meanwhile is not what was signed off.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from aggregator.federation import Federation
from aggregator.verification.whole import verified
from schemas.audit.events import SignedOff
from schemas.audit.verification.container import NotABundle
from schemas.audit.verification.parties import PolicyUnfit
from schemas.errors import InputRefused, IntegrityLost
from schemas.names import Digest, Name

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Review:
    """What was reviewed, by whom, and with which outcome."""

    run: Name
    bundle: Path
    name: str
    meaning: Literal["reviewed", "approved", "rejected"]
    policy: str | None = None
    """Keys and quorum that the reviewer trusts; None: those of the bundle's own roster."""


def signed_off(federation: Federation, review: Review) -> SignedOff:
    """Return the event of a sign-off, after the whole bundle was verified.

    Raises:
        InputRefused: no bundle, or one of another run or federation.
        IntegrityLost: the bundle does not verify, and is not rejected.
    """
    file = review.bundle.name
    try:
        with _copied(review.bundle) as (copy, digest):
            found = verified(copy, review.policy)
    except (NotABundle, PolicyUnfit, OSError) as error:
        message = f"sign-off refused: {file} cannot be verified: {error}"
        raise InputRefused(message, next_step="make one: consilium bundle RUN --home DIR") from None
    root, _ = federation.roster_envelope()
    if (found.bundle.run, found.bundle.root) != (review.run, root):
        message = f"sign-off refused: {file} is of run {found.bundle.run}, not of {review.run}"
        raise InputRefused(message, next_step="name the bundle of this run and federation")
    faults = len(found.findings.faults)
    if faults and review.meaning != "rejected":
        message = (
            f"sign-off refused: {faults} faults were found in {file}, "
            "only a bundle without one can be reviewed or approved"
        )
        raise IntegrityLost(message, next_step=f"read them: consilium verify {file}")
    return SignedOff(run=review.run, bundle=digest, name=review.name, meaning=review.meaning)


@contextmanager
def _copied(bundle: Path) -> Iterator[tuple[Path, Digest]]:
    """Yield a copy that nobody else changes, and the digest of its bytes."""
    with TemporaryDirectory(prefix="consilium-review-") as folder:
        copy = Path(folder) / "bundle.zip"
        with bundle.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, _PIECE)
        with copy.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        yield copy, digest
