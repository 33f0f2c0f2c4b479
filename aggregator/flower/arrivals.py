"""Holding a node's question until there is something for it.

A node that asks again and again costs a signature, a request and a write each time, and hears of a
message half a pause too late. Here its question is held for a moment: whether the file was changed
by anybody is asked of SQLite itself, which costs nothing, and only then what stands in it.

A node that was killed, or lost its connection, leaves a held question behind that nobody hears the
answer to. It must not be given a message: a node's newer call ends its older questions.
"""

import asyncio
import sqlite3
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from flwr.server.superlink.linkstate import LinkState
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.state.schema.linkstate_models import MessageIns
from flwr.supercore.utils import int64_to_uint64
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

HOLD_S = 1.0
"""How long a question is held; a node that stops waits for it."""

LOOK_S = 0.01
"""Between two looks whether the file was changed."""


@dataclass(slots=True)
class Arrivals:
    """Which nodes have something waiting; used by one event loop."""

    state: LinkState
    file: Path
    hold_s: float = HOLD_S
    latest: dict[int, object] = field(default_factory=dict)
    """The last call of each node on the roster, for as long as this runs."""
    waiting: AbstractSet[int] = frozenset()
    version: int = -1
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: sqlite3.Connection | None = None

    def called(self, node: int) -> object:
        """Note a call of a node, which ends those that it left behind."""
        self.latest[node] = object()
        return self.latest[node]

    async def wait(self, node: int) -> bool:
        """Wait until something may be there for a node, or it was held for long enough.

        False: the node has called again since then.
        """
        call, end = self.called(node), time.monotonic() + self.hold_s
        while node not in await self._now() and time.monotonic() < end:
            await asyncio.sleep(LOOK_S)
            if self.latest[node] is not call:
                break
        return self.latest[node] is call

    async def _now(self) -> AbstractSet[int]:
        """Return the nodes with an undelivered message, read anew if the file has changed."""
        async with self.reading:
            version = self._version()
            if version != self.version:
                self.waiting = await run_in_threadpool(self._undelivered)
                self.version = version
        return self.waiting

    def _version(self) -> int:
        """Return SQLite's number that changes with what any other connection commits."""
        if self.connection is None:
            self.connection = sqlite3.connect(self.file, check_same_thread=False)
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Let go of the file."""
        if self.connection is not None:
            self.connection.close()

    def _undelivered(self) -> AbstractSet[int]:
        found = select(MessageIns.dst_node_id).where(
            MessageIns.delivered_at == "", MessageIns.created_at + MessageIns.ttl > time.time()
        )
        if not isinstance(self.state, SqlLinkState):
            return frozenset()
        with self.state.session() as session:
            nodes = session.scalars(found.distinct()).all()
        return frozenset(int64_to_uint64(one) for one in nodes if one is not None)
