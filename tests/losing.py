"""A line between nodes and aggregator that can be lost for a while, as a network is."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class Line:
    """Forward connections from one port to another on this machine, unless the line is lost."""

    front: socket.socket
    back: int
    open: list[socket.socket] = field(default_factory=list)
    is_up: threading.Event = field(default_factory=threading.Event)
    is_over: bool = False
    forwarded: int = 0
    """Bytes that crossed."""

    def forward(self) -> None:
        """Take connections until the end."""
        while True:
            try:
                near, _ = self.front.accept()
            except OSError:
                assert self.is_over
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.back))
            except OSError:
                near.close()
                continue
            self.open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def lose(self) -> None:
        """Carry nothing from now on; what is under way waits, and is never told."""
        self.is_up.clear()

    def restore(self) -> None:
        """Carry again; connections from before are gone, as after a long loss."""
        was_open, self.open = self.open, []
        for one in was_open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.is_up.set()

    def _carry(self, from_: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while part := from_.recv(2**16):
                self.is_up.wait()
                self.forwarded += len(part)
                to.sendall(part)
        for one in (from_, to):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        from_.close()


@contextmanager
def line(front: int, back: int) -> Iterator[Line]:
    """Lend a line from a port to another."""
    with socket.create_server(("127.0.0.1", front)) as taking:
        made = Line(taking, back)
        made.is_up.set()
        thread = threading.Thread(target=made.forward)
        thread.start()
        try:
            yield made
        finally:
            made.is_over = True
            taking.shutdown(socket.SHUT_RDWR)
            made.restore()
            thread.join()
