"""Attempts to open a sum, on disk: each request once, and what came for it.

* A request is on disk before it is sent. The next exchange's request freezes who answered this one,
  so a run that was killed anywhere goes on with the very sets that it had.
* What a site sent may be lost in a crash: the site gives the same bytes again.
* Of an attempt that was lost its mark stays; the next one begins with fresh keys at the sites.
* The sum is written whole or not at all. What the sites told of each other's secrets is erased once
  it is.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import CheckpointDamaged
from schemas.files import make_folder, write_durably
from schemas.names import Digest, SiteName, digest_of
from schemas.protection.fixed_point import Elements, Ring, read
from schemas.protection.messages import EXCHANGES, Exchange, ExchangeRequest, Purpose

_LOST, _TOTAL, _LEFT_OUT = "lost", "total", ".left-out"


@dataclass(frozen=True, slots=True)
class Answers:
    """A folder of signed envelopes by site, and what came beside them."""

    folder: Path

    def sites(self) -> tuple[SiteName, ...]:
        """List who answered, in name order."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.envelope")))

    def put(self, site: SiteName, envelope: bytes, body: bytes) -> None:
        """Write one answer; the envelope comes last."""
        make_folder(self.folder)
        (self.folder / f"{site}.body").write_bytes(body)
        (self.folder / f"{site}.envelope").write_bytes(envelope)

    def refuse(self, site: SiteName, faulty: SiteName | None) -> None:
        """Note that a site has refused, and whose part was why, if it was a part."""
        make_folder(self.folder)
        (self.folder / f"{site}.refusal").write_text(faulty or "", encoding="utf-8")

    def refusals(self) -> dict[SiteName, SiteName | None]:
        """Return who has refused when it was last asked, and whose part was why."""
        found = sorted(self.folder.glob("*.refusal"))
        return {path.stem: path.read_text(encoding="utf-8") or None for path in found}

    def forget_refusals(self) -> None:
        """Forget them, before the sites are asked again."""
        for path in self.folder.glob("*.refusal"):
            path.unlink()

    def envelope(self, site: SiteName) -> bytes:
        """Return the signed envelope that came."""
        return (self.folder / f"{site}.envelope").read_bytes()

    def body(self, site: SiteName) -> bytes:
        """Return what came beside it."""
        return (self.folder / f"{site}.body").read_bytes()


@dataclass(frozen=True, slots=True)
class Sums:
    """The folder of one round's sum of one purpose."""

    folder: Path

    @property
    def checks(self) -> Answers:
        """The sites' self-checks."""
        return Answers(self.folder / "self-check")

    def attempt(self) -> int:
        """Return the present attempt's number: one more than were lost."""
        return 1 + len(list(self.folder.glob(f"*/{_LOST}")))

    def answers(self, attempt: int, exchange: Exchange) -> Answers:
        """Return what came in an exchange."""
        return Answers(self.folder / str(attempt) / exchange)

    def request(self, attempt: int, exchange: Exchange) -> ExchangeRequest | None:
        """Return an exchange's request; None before it was made."""
        path = self._request(attempt, exchange)
        if not path.exists():
            return None
        return ExchangeRequest.from_stored(path.read_bytes(), what="a request of this round")

    def keep_request(self, request: ExchangeRequest) -> None:
        """Put a request on disk."""
        write_durably(self._request(request.attempt, request.exchange), request.canonical())

    def leave_out(self, site: SiteName) -> None:
        """Note that later attempts go without a site, while enough others are there."""
        write_durably(self.folder / f"{site}{_LEFT_OUT}", b"")

    def left_out(self) -> set[SiteName]:
        """Return the sites that later attempts go without."""
        return {path.stem for path in self.folder.glob(f"*{_LEFT_OUT}")}

    def lose(self, attempt: int) -> None:
        """Mark an attempt as lost, and erase what came in it."""
        write_durably(self.folder / str(attempt) / _LOST, b"")
        self._forget(attempt)

    def keep_total(self, attempt: int, total: Elements) -> Digest:
        """Put the sum on disk, and erase what came in its attempt."""
        content = total.tobytes()
        write_durably(self.folder / _TOTAL, content)
        self._forget(attempt)
        return digest_of(content)

    def total(self, digest: Digest, ring: Ring) -> Elements:
        """Return the sum.

        Raises:
            CheckpointDamaged: missing, or other bytes than the digest names.
        """
        path = self.folder / _TOTAL
        content = path.read_bytes() if path.exists() else b""
        if digest_of(content) != digest:
            message = "run refused: the round's sum differs from its digest"
            raise CheckpointDamaged(message, next_step="resume the run, which opens it again")
        return read(content, ring)

    def _forget(self, attempt: int) -> None:
        for exchange in (one for order in EXCHANGES.values() for one in order):
            shutil.rmtree(self.answers(attempt, exchange).folder, ignore_errors=True)

    def _request(self, attempt: int, exchange: Exchange) -> Path:
        return self.folder / str(attempt) / f"{exchange}.json"


def sums_of(run_folder: Path, number: int, purpose: Purpose) -> Sums:
    """Return the sums of a round."""
    return Sums(run_folder / "sums" / f"{number:06d}-{purpose}")


def clear(run_folder: Path) -> None:
    """Erase every sum of a run; the candidate that was made of it is stored."""
    shutil.rmtree(run_folder / "sums", ignore_errors=True)
