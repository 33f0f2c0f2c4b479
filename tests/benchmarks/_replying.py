"""Twenty or a hundred hospitals in one process: they sign what was made before, and send it.

   python -m tests.benchmarks._replying FOLDER SITES signed|flower

Frames on the standard streams: eight bytes of length, then the bytes. A request comes in; for each
site an envelope and a body go out, or one frame for each array as Flower serialises it.
"""

import sys
from pathlib import Path
from typing import IO

import numpy as np

from schemas.names import digest_of
from schemas.update import TrainRequest, Update
from schemas.wire.arrays import declared_layout, flat_values
from schemas.wire.envelope import opened, signed
from schemas.wire.keys import SigningKey

BODIES = 5
"""Different bodies; sites share them in turn, each under its own signature."""


def sites(count: int) -> tuple[str, ...]:
    """Name the sites."""
    return tuple(f"S{number:03}" for number in range(count))


def body_of(folder: Path, site: str) -> Path:
    """Name the file of what a site sends."""
    return folder / "bodies" / str(int(site[1:]) % BODIES)


def send(stream: IO[bytes], content: bytes | memoryview) -> None:
    """Write one frame."""
    stream.write(len(content).to_bytes(8, "little"))
    stream.write(content)
    stream.flush()


def received(stream: IO[bytes]) -> bytes:
    """Read one frame."""
    return stream.read(int.from_bytes(stream.read(8), "little"))


def npy(values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bytes:
    """Serialise an array as Flower does: a header of numpy's format before the values."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({values.size},), }}"
    head = head.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + values.tobytes()


def _reply_signed(folder: Path, count: int) -> None:
    key = (folder / "aggregator.public").read_text()
    request = opened(received(sys.stdin.buffer), TrainRequest, key=key)
    bound = request.model_dump(include={"federation", "run", "plan", "round", "request"})
    digests = {one: digest_of(one.read_bytes()) for one in (folder / "bodies").iterdir()}
    for site in sites(count):
        path = body_of(folder, site)
        head = (folder / "heads" / site).read_text()
        update = Update(**bound, site=site, head=head, arrays=digests[path], privacy=None)
        send(sys.stdout.buffer, signed(update, SigningKey.load(folder / "keys" / site)))
        send(sys.stdout.buffer, path.read_bytes())


def _reply_to_flower(folder: Path, count: int) -> None:
    received(sys.stdin.buffer)
    for site in sites(count):
        content = body_of(folder, site).read_bytes()
        values, start = flat_values(content, layout := declared_layout(content)), 0
        for one in layout:
            send(sys.stdout.buffer, npy(values[start : start + one.size]))
            start += one.size


if __name__ == "__main__":
    _folder, _count, _kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    (_reply_signed if _kind == "signed" else _reply_to_flower)(_folder, _count)
