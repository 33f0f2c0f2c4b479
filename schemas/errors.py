"""Every refusal that a person may meet, in one tree.

FederationError
├── InputRefused            exit 2   a file or argument that a person wrote
│   ├── InvalidRecord                plan, contract, policy or message of the wrong form
│   └── LabelsRefused                labels.csv lacks a column or holds an unknown label
├── HomeRefused             exit 3   a home directory that is missing, in use or not private
├── CohortRefused           exit 4   the data do not fit
│   ├── SourceEmpty                  no file to read
│   ├── NotConforming                the cohort breaks its contract
│   └── CohortChanged                the stored cohort is not the one that was ingested
├── PolicyRefused           exit 5   the hospital has not allowed it
│   ├── PlanNotApproved
│   ├── PrivacyRequired
│   ├── BudgetExceeded
│   ├── NotNow                       outside the hours that the hospital allows
│   ├── TooMuchMemory                the work needs more memory than the hospital allows
│   ├── CodeChanged                  the installed code is not the one that is allowed
│   └── SelfTestFailed               the privacy mechanism does not do what it claims here
├── PeerRefused             exit 6   another party's message or absence
│   ├── ArchiveRefused               a PACS or DICOMweb that is silent, refuses, or breaks off
│   ├── EnvelopeRefused              signature, sender, run, plan, round or replay
│   ├── OtherMessages                the other side speaks another version of the messages
│   ├── ArraysRefused                names, shapes, dtypes, length or non-finite values
│   ├── PartRefused                  another site's part in a sum; the site is named
│   ├── HeadRefused                  a log's head that cannot be cosigned
│   ├── NotWitnessed                 too few sites have cosigned the aggregator's log
│   ├── QuorumLost
│   ├── NothingAccepted              the run ended without an accepted model
│   └── NotReleased                  the accepted model misses the plan's release criteria
└── IntegrityLost           exit 7   stored state that does not verify
   ├── OtherVersion                 a record that another version of this software wrote
   ├── JournalDamaged
   ├── LedgerDamaged
   └── CheckpointDamaged

* A message says what was refused, what was found and what is allowed, in that order; `next_step`
  says what to do.
* No message holds an identifier, path, value or free text of a patient.
"""

from typing import ClassVar


class FederationError(Exception):
    """A refusal with a reason for people, a next step and an exit status."""

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class InputRefused(FederationError):
    """A file or an argument that a person wrote cannot be used."""

    exit_status = 2


class InvalidRecord(InputRefused):
    """A record has the wrong form; fields are named, values never are."""

    is_other_version: bool = False
    """Its only faults are fields too many or too few, as another version would write them."""


class LabelsRefused(InputRefused):
    """The labels table lacks a column, or holds a label that the contract does not know."""


class HomeRefused(FederationError):
    """A home directory is missing, in use by another command, or not private enough."""

    exit_status = 3


class CohortRefused(FederationError):
    """The hospital's data do not fit the contract."""

    exit_status = 4


class SourceEmpty(CohortRefused):
    """The source holds no file to read, or none that can be used."""


class NotConforming(CohortRefused):
    """The cohort breaks a blocking check of its contract."""


class CohortChanged(CohortRefused):
    """Stored images or manifest differ from what was ingested."""


class PolicyRefused(FederationError):
    """The hospital's own policy does not allow it."""

    exit_status = 5


class PlanNotApproved(PolicyRefused):
    """Nobody at this hospital has approved the plan with this digest."""


class PrivacyRequired(PolicyRefused):
    """The plan trains without privacy, and this hospital's policy does not allow that."""


class BudgetExceeded(PolicyRefused):
    """The release would raise epsilon over the hospital's limit."""

    def __init__(self, *, before: float, after: float, limit: float, delta: float) -> None:
        super().__init__(
            f"round refused: epsilon would rise from {before:.3f} to {after:.3f}, "
            f"over the limit {limit:.3f} (delta={delta:g})",
            next_step="approve a plan that spends less, or raise this hospital's limit on purpose: "
            "hospital-node policy limit --home DIR --epsilon VALUE --approver NAME",
        )
        self.before, self.after, self.limit, self.delta = before, after, limit, delta


class NotNow(PolicyRefused):
    """It is outside the hours in which this hospital works for a federation."""


class TooMuchMemory(PolicyRefused):
    """The work needs more memory than this hospital's policy allows."""


class CodeChanged(PolicyRefused):
    """The installed code is not the one that this hospital allows."""


class SelfTestFailed(PolicyRefused):
    """The clipped gradients of this network and loss are not what the guarantee assumes."""


class PeerRefused(FederationError):
    """A message of another party was refused, or did not come."""

    exit_status = 6


class ArchiveRefused(PeerRefused):
    """The hospital's archive is silent, refuses, or does not keep to its protocol."""


class EnvelopeRefused(PeerRefused):
    """Signature, sender, federation, run, plan, round or request is not the expected one."""


class OtherMessages(PeerRefused):
    """The other side speaks another version of the messages; both are named."""


class ArraysRefused(PeerRefused):
    """Arrays differ from the declared layout or hold values that are not finite."""


class PartRefused(PeerRefused):
    """What another site gave to a sum cannot be used; `site` is whose it is."""

    def __init__(self, message: str, *, site: str, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.site = site


class HeadRefused(PeerRefused):
    """A log's head was offered for cosigning and cannot be; `status` is the specification's.

    A fork is a head that does not continue the one cosigned before.
    """

    def __init__(self, message: str, *, status: int, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.status = status
        self.is_fork = status == 422  # noqa: PLR2004 - "Unprocessable" there: no proof that it continues


class NotWitnessed(PeerRefused):
    """The aggregator's last head was not cosigned by enough sites."""


class QuorumLost(PeerRefused):
    """Fewer usable replies came than the plan's quorum."""


class NothingAccepted(PeerRefused):
    """The run ended, and no model passed its gate."""


class NotReleased(PeerRefused):
    """The accepted model misses the plan's release criteria, so no hospital gets it."""


class IntegrityLost(FederationError):
    """Stored state does not verify; nothing goes on from it."""

    exit_status = 7


class OtherVersion(IntegrityLost):
    """A stored record has fields that this version does not know, or lacks some that it needs."""

    def __init__(self, what: str, *, versions: str = "") -> None:
        told = f"; this home was used with {versions}" if versions else ""
        super().__init__(
            f"{what} refused: another version of this software wrote it, with other fields{told}",
            next_step="go on with the version that wrote it, or begin what needs it anew (a run, "
            "an approval, an ingest); nothing is damaged, and no backup is needed",
        )
        self.what = what


class JournalDamaged(IntegrityLost):
    """The audit journal does not match its signed tree head."""


class LedgerDamaged(IntegrityLost):
    """The privacy ledger cannot be read, or is behind what left this hospital."""


class CheckpointDamaged(IntegrityLost):
    """A checkpoint's bytes do not have the digest in its manifest."""
