"""Whether an identifier of the source is left in what is about to be stored.

* Every word of the records is put under the site's key and compared with the keyed names of the
  labels table; so no identifier is kept for it.
* A row's patient must be one that the key gives; its image is a digest by its form.
* Words of the contract and of the closed table of reasons are public, as are numbers and plain
  small-letter words in findings, which are counts and prose. They are not compared.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from hospital_node.cohort.deidentification import keyed_name, pseudonym
from hospital_node.cohort.findings import Finding
from hospital_node.cohort.reasons import REASONS
from schemas.contract import DataContract
from schemas.manifest import DatasetManifest, Pseudonym

__all__ = ["residue"]

_PROSE = re.compile(r"[0-9]+|[a-z-]+")
_WORD = re.compile(r"[^\s,;:()\"'\[\]{}/\\]+")


def residue(
    manifest: DatasetManifest,
    findings: Iterable[Finding],
    contract: DataContract,
    *,
    named: tuple[Mapping[str, object], AbstractSet[Pseudonym]],
    key: bytes,
) -> int:
    """Count the words that name an instance or patient of the labels table.

    `named` are its instances and its patients under the key.
    """
    instances, patients = named
    unkeyed = sum(row.patient not in patients for row in manifest.rows)
    return unkeyed + sum(
        keyed_name(word.encode(), key=key, purpose="instance") in instances
        or pseudonym(word, key=key) in patients
        for word in set(_words(findings)) - _public(contract)
    )


def _words(findings: Iterable[Finding]) -> Iterator[str]:
    for one in findings:
        for text in (one.pointer, one.expected, one.found, one.remedy):
            yield from (word for word in _split(text) if not _PROSE.fullmatch(word))


def _public(contract: DataContract) -> set[str]:
    texts = [contract.canonical().decode()]
    for code, reason in REASONS.items():
        texts += (code, reason.found, reason.remedy, reason.pointer, reason.expected)
    return {word for text in texts for word in _split(text)}


def _split(text: str) -> list[str]:
    return [word.strip(".") for word in _WORD.findall(text)]
