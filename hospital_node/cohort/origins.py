"""What a cohort was made from, so that a source which did not change is not read again.

* Two digests over all that decides what a cohort is: contract, way of reading, site, labels, who
  withdrew, what people decided, and the files. One names the files by their bytes. The other takes
  what the folder looks like from outside, which needs no file to be opened.
* Where the contract has masks, pictures may lie anywhere below the table's folder; it is looked at
  as well.
* Both are keyed or over keyed names. Whatever differs, the files are read again.
"""

from collections.abc import Sequence
from pathlib import Path

from hospital_node.cohort import quarantine
from hospital_node.cohort.desk import Desk
from hospital_node.cohort.readings import readings_file
from hospital_node.cohort.sources.look import look_at
from hospital_node.cohort.store import Cohort, Origin, looked_again, made_from, open_cohort
from hospital_node.cohort.withdrawal import withdrawn
from schemas.contract import DataContract
from schemas.errors import CohortRefused
from schemas.names import Digest, digest_of

__all__ = ["Ground"]


class Ground:
    """All that decides what a cohort is, but the files: as it was when this was made."""

    def __init__(self, source: Path, labels: Path, contract: DataContract, desk: Desk) -> None:
        decided = quarantine.decisions(desk.store)
        self._desk, self._contract = desk, contract.digest
        self._words = [
            contract.digest,
            readings_file(desk.store, contract).name,
            desk.site,
            digest_of(labels.read_bytes()) if labels.is_file() else "",
            *sorted(withdrawn(desk.store)),
            *(decided[file].digest for file in sorted(decided)),
        ]
        folders = [source] if contract.labels.mask is None else [source, labels.parent]
        looks = [look_at(one, key=desk.key, now_ns=desk.now_ns()) for one in folders]
        whole = [one for one in looks if one is not None]
        self._look = self._named(whole) if len(whole) == len(looks) else None

    def origin(self, names: Sequence[str]) -> Origin:
        """Return what a cohort of these files is made from."""
        return Origin(source=self._named(sorted(names)), look=self._look)

    def unchanged(self, names: Sequence[str] = ()) -> Cohort | None:
        """Return what stands in the store, if it was made from the very same.

        Without names the folder is only looked at; with the names of all files, their bytes count,
        and what the folder looks like is noted for the next time.
        """
        made = made_from(self._desk.store, self._contract)
        if made is None:
            return None
        same = made.source == self._named(sorted(names)) if names else made.look == self._look
        if not same or not (names or self._look):
            return None
        try:
            cohort = open_cohort(self._desk.store, self._contract)
        except CohortRefused:
            return None
        if made.look != self._look:
            looked_again(self._desk.store, self._contract, self.origin(names))
        return cohort

    def _named(self, files: Sequence[str]) -> Digest:
        return digest_of("\n".join([*self._words, *files]).encode())
