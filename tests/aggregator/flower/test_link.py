"""Several processes share the relay's file, from its making on."""

import multiprocessing
import multiprocessing.synchronize
from pathlib import Path

from aggregator.flower.link import link_factory


def _made(folder: Path, ready: "multiprocessing.synchronize.Barrier") -> None:
    ready.wait(60)
    link_factory(folder).state().get_node_info()


def test_processes_that_start_together_make_one_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(3)
    processes = [context.Process(target=_made, args=(tmp_path / "link", ready)) for _ in range(3)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(120)
    assert [one.exitcode for one in processes] == [0, 0, 0]
