"""What stands between the roster and the relay while it serves."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flwr.server.superlink.linkstate import LinkState, LinkStateFactory

from aggregator.config import AggregatorHome, load_config
from aggregator.door import PAUSE_S, Door
from aggregator.federation import stored_roster
from aggregator.flower.link import admit
from schemas.enrolment import Roster
from schemas.names import Moment, SiteName, now

_PAUSE_S = 0.25

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Admitted:
    """The roster by which nodes were last let in, and the sites whose keys counted then."""

    content: bytes = b""
    roster: Roster | None = None
    valid: tuple[SiteName, ...] = ()


def admit_always(
    factory: LinkStateFactory,
    home: AggregatorHome,
    door: Door,
    over: threading.Event,
    *,
    clock: Callable[[], Moment] = now,
) -> None:
    """Let in whom the roster names, as soon as it changes or a key expires, until told to stop.

    Whoever was turned away is written to the relay's journal every few seconds. A roster that does
    not verify changes nothing, and the log says why; the keys of the one before go on to expire.
    Whatever fails here is tried again: without this, a hospital that is revoked would stay.
    """
    state, admitted, written = factory.state(), _Admitted(), -PAUSE_S
    while True:
        try:
            admitted = _readmitted(state, home, admitted, at=clock())
        except Exception as error:  # noqa: BLE001 - Flower's edge: whatever it is, it is tried again
            _log.error("nodes cannot be let in: %s", type(error).__name__)
        is_over = over.wait(_PAUSE_S)
        if is_over or time.monotonic() >= written + PAUSE_S:
            _write(door, home)
            written = time.monotonic()
        if is_over:
            return


def _readmitted(
    state: LinkState, home: AggregatorHome, before: _Admitted, *, at: Moment
) -> _Admitted:
    content, roster = _newest(home, before)
    if roster is None:
        return before
    valid = tuple(one.site for one in roster.members if one.is_valid(at))
    if (content, valid) == (before.content, before.valid):
        return before
    admit(state, roster, at=at)
    if content != before.content:
        _log.info("the roster was read")
    for member in roster.members:
        if member.site in set(before.valid) - set(valid):
            _log.info("the key of %s has expired; its node is not let in any more", member.site)
    return _Admitted(content, roster, valid)


def _newest(home: AggregatorHome, before: _Admitted) -> tuple[bytes, Roster | None]:
    try:
        content = home.roster.read_bytes()
        return content, before.roster if content == before.content else stored_roster(home)
    except Exception as error:  # noqa: BLE001 - whatever stands in the file, it is read again
        _log.error("the roster cannot be used: %s", type(error).__name__)
    return before.content, before.roster


def _write(door: Door, home: AggregatorHome) -> None:
    try:
        door.write(home, load_config(home))
    except Exception as error:  # noqa: BLE001 - no call from outside may end the admission
        _log.error("the relay's journal cannot be written: %s", type(error).__name__)
