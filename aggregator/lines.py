"""The lines that callers hold open at a service: how many, of whom, and for how long.

* From the moment that it is taken a line has some seconds until its first call has come, handshake
  and head together; after an answer it has as long again, or longer once it is known.
* A line is known from its first call that was answered as it asked: whoever is let in nowhere
  never holds a known line.
* One address holds at most so many lines, and all together a few times more. Where there is no
  room for a new one, the oldest that is not known gives way: nodes that are let in keep theirs.
* The limit of open files is raised as far as that takes; what it does not allow is not promised.
"""

import asyncio
import ipaddress
import resource
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import TypeAdapter

from aggregator.caller import plain
from schemas.errors import HomeRefused, InputRefused
from schemas.names import Address, Name

FIRST_S = 20.0
"""From a line's beginning, or a call that was refused, to the next whole head of a call."""

NEXT_S = 180.0
"""From an answer to a known line; the answer itself may still be on a slow way."""

_SPARE = 64
"""Lines that were given up and are not closed yet; no new one is taken beside so many."""
_ENDING_S = 5.0
"""One that is not closed by then is waited for no longer."""
_OTHER_FILES = 64
"""Of this process: its database, its journals, its log."""
_LEAST = 16

Peer: TypeAlias = tuple[str, int]
"""Address and port of the other end."""


def _nobody(_reason: Name, _address: str) -> None:
    """Tell nobody."""


class Line(socket.socket):
    """One connection; whoever closes it gives its place back."""

    def __init__(self, taken: socket.socket, peer: Peer, lines: "Lines") -> None:
        """Take over a connection that was just accepted."""
        super().__init__(taken.family, taken.type, taken.proto, taken.detach())
        self.peer, self.address, self.lines = peer, plain(peer[0]), lines
        self.timer: asyncio.TimerHandle | None = None
        self.is_known, self.has_asked = False, False

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self.lines.closed(self)

    def end(self) -> None:
        """Have the connection closed by whoever reads from it."""
        with suppress(OSError):  # the other end may have closed it
            self.shutdown(socket.SHUT_RDWR)


@dataclass(eq=False, slots=True)
class Lines:
    """All lines of one service; used by one event loop."""

    most: int
    each: int
    """Of one address."""
    told: Callable[[Name, str], None] = _nobody
    """Hears who was turned away: the reason and the address."""
    proxy: str | None = None
    """An address that brings the calls of others: it may hold all lines there are."""
    first_s: float = FIRST_S
    next_s: float = NEXT_S
    held: dict[Peer, Line] = field(default_factory=dict, init=False)
    """The oldest first."""
    ending: set[Line] = field(default_factory=set, init=False)
    """Given up, and not closed yet."""
    count: Counter[str] = field(default_factory=Counter, init=False)
    """Held lines by address."""

    def fit(self) -> None:
        """Raise this process's limit of open files, or hold fewer lines than was meant to be."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.most + _SPARE + _OTHER_FILES
        if soft < wanted and soft != resource.RLIM_INFINITY:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.most = max(_LEAST, min(self.most, soft - _SPARE - _OTHER_FILES))
            self.each = min(self.each, self.most)

    def take(self, line: Line) -> bool:
        """Hold a new line, in the place of another where there is no room; False: there is none."""
        is_full = line.address != self.proxy and self.count[line.address] >= self.each
        if is_full or len(self.held) >= self.most:
            oldest = self._stranger(line.address if is_full else None)
            self.told("too-many", line.address if oldest is None else oldest.address)
            if oldest is None:
                return False
            self._give_up(oldest)
        self.held[line.peer] = line
        self.count[line.address] += 1
        self._within(line, self.first_s)
        return True

    def asked(self, peer: Peer | None) -> None:
        """Note that a call has begun on a line: it is the application's now how long it lasts."""
        line = self.held.get(peer) if peer else None
        if line is not None:
            line.has_asked = True
            _stopped(line)

    def let_in(self, peer: Peer | None) -> None:
        """Note that a call is about to be answered as it asked: its line is known from now on."""
        line = self.held.get(peer) if peer else None
        if line is not None:
            line.is_known = True

    def answered(self, peer: Peer | None) -> None:
        """Note that a call has ended."""
        line = self.held.get(peer) if peer else None
        if line is not None:
            self._within(line, self.next_s if line.is_known else self.first_s)

    def closed(self, line: Line) -> None:
        """Give a line's place back."""
        _stopped(line)
        self.ending.discard(line)
        self._forget(line)

    def close(self) -> None:
        """Give up what has asked nothing yet; the rest is the server's to end in order."""
        for line in self.held.values():
            if not line.has_asked:
                line.end()

    def _stranger(self, address: str | None) -> Line | None:
        """Return the oldest line that is not known, of an address or of any."""
        for line in self.held.values():
            if not line.is_known and address in {None, line.address}:
                return line
        return None

    def _within(self, line: Line, time_s: float) -> None:
        _stopped(line)
        line.timer = asyncio.get_running_loop().call_later(time_s, self._late, line)

    def _late(self, line: Line) -> None:
        if not line.is_known:
            self.told("too-slow", line.address)
        self._give_up(line)

    def _give_up(self, line: Line) -> None:
        _stopped(line)
        self._forget(line)
        self.ending.add(line)
        line.end()
        loop = asyncio.get_running_loop()
        line.timer = loop.call_later(_ENDING_S, self.ending.discard, line)

    def _forget(self, line: Line) -> None:
        if self.held.get(line.peer) is line:
            del self.held[line.peer]
            self.count[line.address] -= 1
            if not self.count[line.address]:
                del self.count[line.address]


def _stopped(line: Line) -> None:
    if line.timer is not None:
        line.timer.cancel()
        line.timer = None


class Entrance(socket.socket):
    """A listening socket that takes a line only where there is room for it."""

    def __init__(self, bound: socket.socket, lines: Lines) -> None:
        """Take over a socket that is bound and does not listen yet."""
        super().__init__(bound.family, bound.type, bound.proto, bound.detach())
        self.lines = lines

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Take the next line.

        Raises:
            BlockingIOError: lines that were given up are to be closed first; the event loop asks
                again in its next turn.
            ConnectionAbortedError: there was no room for it.
        """
        if len(self.lines.ending) >= _SPARE:
            raise BlockingIOError
        taken, address = super().accept()
        line = Line(taken, (address[0], address[1]), self.lines)
        if not self.lines.take(line):
            line.close()
            raise ConnectionAbortedError
        return line, address

    def close(self) -> None:
        """Listen no more."""
        super().close()
        self.lines.close()


def place(listen: str) -> tuple[str, int]:
    """Return host and port to listen at; an IPv6 address stands in brackets, as in a URL.

    Raises:
        InputRefused: these are no host and port.
    """
    host, _, port = listen.rpartition(":")
    try:
        if host.startswith("[") and host.endswith("]"):
            found = str(ipaddress.IPv6Address(host[1:-1]))
            TypeAdapter(Address).validate_python(f"six:{port}")
        else:
            TypeAdapter(Address).validate_python(listen)
            found = host
    except ValueError:  # pydantic's is one
        message = (
            f"listening refused: {listen!r} found, HOST:PORT is allowed, with a host name, an IPv4 "
            "address or an [IPv6 address], and a port from 1 to 65535"
        )
        raise InputRefused(message, next_step="for example: --listen 0.0.0.0:8443") from None
    return found, int(port)


def entrances(listen: str, lines: Lines) -> list[socket.socket]:
    """Listen at every address that HOST:PORT names.

    Raises:
        InputRefused: these are no host and port.
        HomeRefused: nothing can listen there.
    """
    host, port = place(listen)
    lines.fit()
    made: list[socket.socket] = []
    try:
        kind = socket.SOCK_STREAM
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
        # The protocol is said as well: the event loop sends an answer at once where it is TCP.
        for address, (family, proto) in {one[4]: (one[0], one[2]) for one in found}.items():
            made.append(Entrance(socket.socket(family, kind, proto), lines))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made[-1].bind(address)
            made[-1].listen()
    except OSError as error:
        for one in made:
            one.close()
        message = f"serving refused: nothing can listen at {listen} ({error.strerror})"
        next_step = "choose another address or port, or end what listens there"
        raise HomeRefused(message, next_step=next_step) from None
    return made
