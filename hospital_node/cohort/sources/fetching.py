"""Fetching from an archive: what the labels table asks for, and nothing else.

* An archive is asked for one patient at a time, by the identifier in the labels table, and only for
  the contract's modalities. Of the series it lists, those with a labelled image are fetched, and of
  these the contract's SOP classes.
* What an archive says of other patients, and every object that is not what it was asked as, is
  dropped and counted.
* An object that does not come is asked for once more. An incomplete fetch is refused unless a
  person allows it; what came stays in the spool.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby, islice
from typing import Protocol

from hospital_node.cohort.sources.inbox import Inbox, Instance
from hospital_node.cohort.sources.query import Query
from hospital_node.cohort.sources.source import Fetched, Progress
from hospital_node.cohort.sources.spool import Spool
from schemas.errors import ArchiveRefused, SourceEmpty

__all__ = ["MAX_LISTED", "Archive", "fetched_from"]

MAX_LISTED = 200_000
"""Objects of one patient: an archive that lists more is broken."""
_UID = re.compile(r"[0-9][0-9.]{0,63}")
_ATTEMPTS = 2


class Archive(Protocol):
    """What differs between C-FIND with C-MOVE and DICOMweb."""

    def listed(self, patient: str, modalities: Sequence[str]) -> Iterator[Instance]:
        """List a patient's objects of these modalities; may be of others, and is held against it.

        Raises:
            ArchiveRefused: no answer in time, or a refusal.
        """

    def receiving(self, inbox: Inbox) -> AbstractContextManager[None]:
        """Be ready for objects that the archive sends by itself.

        Raises:
            ArchiveRefused: the port cannot be opened.
        """

    def sent(self, wanted: Sequence[Instance], inbox: Inbox) -> None:
        """Have the objects of one series put into the inbox; not all may come.

        Raises:
            ArchiveRefused: no answer in time, or a refusal.
        """


def fetched_from(
    archive: Archive, query: Query, spool: Spool, *, progress: Progress, allow_missing: bool
) -> Fetched:
    """List what is asked for, and fetch what the spool does not hold yet.

    Raises:
        SourceEmpty: the archive lists no labelled image.
        ArchiveRefused: no answer in time, a refusal, or objects that did not come.
    """
    spool.opened()
    found, unlisted, unasked = _listed(archive, query, progress)
    if not found:
        message = "source refused: the archive lists no labelled image; at least one is needed"
        raise SourceEmpty(
            message, next_step="check the labels table, the modalities, and what this node may see"
        )
    spool.retain(one.instance for one in found)
    inbox = Inbox(spool, unasked=unasked)
    wanted = [one for one in found if not spool.holds(one.instance)]
    inbox.advance = lambda: progress(len(found) - inbox.waiting, len(found))
    with archive.receiving(inbox) if wanted else nullcontext():
        for _ in range(_ATTEMPTS):
            _collected(archive, wanted, inbox)
            wanted = [one for one in wanted if not spool.holds(one.instance)]
    if wanted and not allow_missing:
        raise _incomplete(len(wanted), len(found))
    return Fetched(spool.objects, len(found), len(wanted), inbox.unasked, unlisted)


def _listed(
    archive: Archive, query: Query, progress: Progress
) -> tuple[tuple[Instance, ...], int, int]:
    """Return what is wanted, and count patients without a labelled image and strange answers."""
    found: dict[str, Instance] = {}
    unlisted = unasked = 0
    for done, patient in enumerate(query.patients):
        progress(done, len(query.patients))
        every = tuple(islice(archive.listed(patient, query.modalities), MAX_LISTED))
        own = [one for one in every if one.patient == patient and _is_named(one)]
        unasked += len(every) - len(own)
        series = {one.series for one in own if one.instance in query.labelled}
        wanted = [one for one in own if one.series in series]
        unlisted += not wanted
        found.update((one.instance, one) for one in wanted if one.sop_class in query.sop_classes)
    return tuple(found.values()), unlisted, unasked


def _is_named(one: Instance) -> bool:
    return all(_UID.fullmatch(uid) for uid in (one.study, one.series, one.instance))


def _collected(archive: Archive, wanted: Sequence[Instance], inbox: Inbox) -> None:
    """Have each series sent; what does not come is left for another attempt."""
    inbox.wanted = {one.instance: one for one in wanted}
    inbox.advance()
    for _, group in groupby(sorted(wanted, key=_series), key=_series):
        archive.sent(tuple(group), inbox)
        inbox.refuse_broken()


def _series(one: Instance) -> tuple[str, str, str]:
    return (one.patient, one.study, one.series)


def _incomplete(missing: int, asked: int) -> ArchiveRefused:
    return ArchiveRefused(
        f"archive refused: {missing} of {asked} objects that it lists did not come, all are needed",
        next_step="run the command again, it goes on from here; to go on without them: "
        "--allow-missing",
    )
