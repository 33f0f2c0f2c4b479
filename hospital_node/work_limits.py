"""When this hospital's machine may work for a federation, and how much of it.

* Hours are of each day, on the clock that the policy names; they may pass midnight. What began
  within them may end after them. Outside of them a request is refused for now, and nothing is
  charged: the aggregator asks again in a later round, or when the run is resumed.
* Threads bound what the plan asks for.
* Memory bounds the private memory of the process while it works; work that needs more is refused.
"""

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import tomlkit
from pydantic import Field, StringConstraints, ValidationError

from hospital_node.config import NodeHome
from schemas.base import Record
from schemas.errors import InputRefused, NotNow, TooMuchMemory
from schemas.files import read_settings, write_durably
from schemas.names import Moment

LEAST_FREE_BYTES = 256 * 2**20
"""Work is not begun with less memory left under the bound."""

_NO_MEMORY = "can't allocate memory"
"""What torch says, in an error of no type of its own."""


_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"

Hours: TypeAlias = Annotated[str, StringConstraints(pattern=f"^{_TIME}-{_TIME}$")]


class WorkLimits(Record):
    """What of this machine a federation may use; nothing is limited but what is named."""

    hours: Hours | None = None
    """From and to, such as `20:00-06:00`; to itself is outside. Equal ones: the whole day."""
    clock: Literal["utc", "local"] = "utc"
    """`local`: the machine's own time zone, with its summer time."""
    threads: int | None = Field(default=None, ge=1, le=64)
    memory_gib: float | None = Field(default=None, ge=1)

    @property
    def said(self) -> str:
        """What is limited, for people; empty: nothing."""
        parts = (
            f"from {self.hours.replace('-', ' to ')} ({self.clock} time)" if self.hours else "",
            f"{self.threads} threads" if self.threads else "",
            f"{self.memory_gib:g} GiB of memory" if self.memory_gib else "",
        )
        return ", ".join(one for one in parts if one)

    def is_open(self, at: Moment) -> bool:
        """Say whether work may begin at a moment."""
        if self.hours is None:
            return True
        begin, end = (time.fromisoformat(one) for one in self.hours.split("-"))
        instant = datetime.fromisoformat(at)
        there = instant.astimezone(UTC) if self.clock == "utc" else instant.astimezone()
        now = there.time()
        return begin <= now < end if begin < end else now >= begin or now < end

    def hold_hours(self, at: Moment) -> None:
        """Hold that work may begin now.

        Raises:
            NotNow: it is outside the hours.
        """
        if not self.is_open(at):
            message = (
                f"request refused for now: this hospital works from {self.hours} "
                f"({self.clock} time) only"
            )
            next_step = "resume the run within these hours, or: hospital-node policy work --help"
            raise NotNow(message, next_step=next_step)

    def threads_of(self, wanted: int) -> int:
        """Return how many threads work for a plan that wants so many."""
        return wanted if self.threads is None else min(wanted, self.threads)

    @contextmanager
    def within_memory(self) -> Iterator[None]:
        """Bound this process's private memory while work is done.

        Raises:
            TooMuchMemory: the work needs more.
        """
        if self.memory_gib is None:
            yield
            return
        bound, before = int(self.memory_gib * 2**30), resource.getrlimit(resource.RLIMIT_DATA)
        if (used := _private_bytes()) + LEAST_FREE_BYTES > bound:
            raise _too_much(self.memory_gib, f"this process alone takes {used / 2**30:.1f} GiB")
        soft = bound if before[1] == resource.RLIM_INFINITY else min(bound, before[1])
        resource.setrlimit(resource.RLIMIT_DATA, (soft, before[1]))
        try:
            yield
        except MemoryError:
            raise _too_much(self.memory_gib, "the work needs more") from None
        except RuntimeError as error:
            if _NO_MEMORY not in str(error):
                raise
            raise _too_much(self.memory_gib, "the work needs more") from None
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)


_NONE: Mapping[str, object] = {"hours": "any", "threads": 0, "memory_gib": 0.0}
"""What takes a limit away."""


def changed(limits: WorkLimits, given: Mapping[str, object]) -> WorkLimits:
    """Return limits with what is given in place of what was; nothing and an empty text change none.

    Raises:
        InputRefused: nothing is given, or a value does not fit.
    """
    named = {key: one for key, one in given.items() if one not in (None, "")}
    fresh = {key: None if one == _NONE.get(key) else one for key, one in named.items()}
    try:
        if named:
            return WorkLimits.model_validate({**limits.model_dump(), **fresh})
    except ValidationError:
        """Told below."""
    message = (
        "limits refused: --hours HH:MM-HH:MM or any, --clock utc or local, --threads 0 to 64 "
        "and --memory-gib 0 or at least 1 are allowed; one of them is needed"
    )
    raise InputRefused(message, next_step="hospital-node policy work --help")


def set_work_limits(home: NodeHome, limits: WorkLimits) -> None:
    """Replace what of this machine may be used; nothing limited leaves no table."""
    document = tomlkit.parse(read_settings(home.policy))
    document.pop("work", None)
    fields = limits.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if fields:
        document["work"] = fields
    write_durably(home.policy, tomlkit.dumps(document).encode())


def _too_much(memory_gib: float, found: str) -> TooMuchMemory:
    message = f"request refused: {found}, this hospital allows {memory_gib:g} GiB of memory"
    next_step = "allow more, if the machine has it: hospital-node policy work --help"
    return TooMuchMemory(message, next_step=next_step)


def _private_bytes() -> int:
    """Return the private memory of this process, as the system's bound counts it."""
    status = Path("/proc/self/status")
    if not status.exists():  # the bound itself is then all there is
        return 0
    [line] = [one for one in status.read_text().splitlines() if one.startswith("VmData:")]
    return int(line.split()[1]) * 1024
