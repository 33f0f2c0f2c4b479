"""What a verification finds: where it stands, and what it means."""

from dataclasses import asdict, dataclass

AGGREGATOR = "aggregator"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, or one thing that a person should know."""

    log: str
    """Origin of a log, or the name of a file of the bundle."""
    index: int | None
    """Of the event, or of the first that may be meant."""
    found: str
    meaning: str

    def __str__(self) -> str:
        """Say it in one line."""
        place = self.log if self.index is None else f"{self.log}, event {self.index}"
        return f"{place}: {self.found}. {self.meaning}"


@dataclass(slots=True)
class Findings:
    """What was found so far: faults refute a bundle, remarks do not."""

    faults: list[Finding]
    remarks: list[Finding]

    def fault(self, log: str, index: int | None, found: str, meaning: str) -> None:
        """Add what must not be."""
        self.faults.append(Finding(log, index, found, meaning))

    def remark(self, log: str, index: int | None, found: str, meaning: str) -> None:
        """Add what a person should know."""
        self.remarks.append(Finding(log, index, found, meaning))

    def told(self) -> dict[str, object]:
        """Return both lists for a program."""
        return {
            "faults": [asdict(one) for one in self.faults],
            "remarks": [asdict(one) for one in self.remarks],
        }
