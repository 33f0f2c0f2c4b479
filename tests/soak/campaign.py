"""Private rounds killed at random moments: `python -m tests.soak.campaign FOLDER KILLS SEED`.

One process imports everything once and forks a federation, which it kills with SIGKILL. Then it
holds every hospital's ledger against what left: the ledger must cover it, and must take the next
reservation. It computes with no array itself, so that each fork starts from a clean torch.
"""

import os
import shutil
import signal
import sys
import time
import traceback
from collections import defaultdict
from pathlib import Path
from random import Random

import dp_accounting.pld
import dp_accounting.rdp  # noqa: F401 - as below
import torch._dynamo  # noqa: F401 - each fork would import these anew, and kills would meet that only

from aggregator.config import AggregatorHome
from aggregator.rounds import is_over
from aggregator.runs import conduct, run_names, stored
from hospital_node.config import NodeHome
from hospital_node.policy import load_policy
from hospital_node.privacy.consistency import hold_ledger
from hospital_node.privacy.ledger import Entry, Ledger
from schemas import accounting
from schemas.audit.events import Facts, ReplyReceived, ReplySent, Reserved, Settled
from schemas.audit.lines import read_facts
from schemas.manifest import Part
from schemas.privacy import SampledGaussian
from tests.study import SITES, Direct, Study

PARTS: tuple[Part, ...] = ("train", "validation")
LONGEST_S = 1.0
"""Kills come within this time after the homes are open: some two rounds on an idle machine."""


def study_in(folder: Path) -> Study:
    nodes = {site: folder / site for site in SITES}
    return Study(folder, folder / "small.plan.toml", folder / "aggregator", nodes)


def train(study: Study, ready: int) -> None:
    """Conduct runs, one after the other, taking up an interrupted one, until killed."""
    with study.opened() as embedded:
        os.write(ready, b"!")
        federation, exchange = embedded.federation, Direct(embedded.nodes)
        runs = federation.home.runs
        whole = [one for one in run_names(federation) if (runs / one / "states.jsonl").exists()]
        if whole and not is_over(*stored(federation, whole[-1])):
            conduct(federation, whole[-1], exchange, lambda _: None)
        while True:
            conduct(federation, study.started(federation), exchange, lambda _: None)


def killed(study: Study, random: Random) -> None:
    """Fork a federation and kill it: one in ten before its homes are open."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(study, writing)
        except BaseException:  # noqa: BLE001 - whatever it is, the test must read it
            traceback.print_exc()
        finally:
            os._exit(3)
    os.close(writing)
    if random.random() < 0.1:
        time.sleep(random.uniform(0, 0.05))
    else:
        os.read(reading, 1)
        time.sleep(random.uniform(0, LONGEST_S))
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the federation ended by itself"


def hold(study: Study) -> int:
    """Hold every ledger against the journals on both sides; return how many replies left."""
    received: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    priced: dict[str, dict[str, tuple[Part, SampledGaussian]]] = defaultdict(dict)
    for fact in read_facts(AggregatorHome(study.aggregator).journal, ReplyReceived):
        assert isinstance(fact, ReplyReceived)
        assert fact.privacy is not None
        received[fact.site][fact.request].add(fact.reply)
        priced[fact.site][fact.request] = (fact.privacy.part, fact.privacy.event)
    for site, root in study.nodes.items():
        home = NodeHome(root)
        facts = list(read_facts(home.journal, Reserved, Settled, ReplySent))
        sent: dict[str, set[str]] = defaultdict(set)
        for one in facts:
            if isinstance(one, Reserved):
                priced[site][one.request] = (one.part, one.event)
            elif isinstance(one, ReplySent):
                sent[one.request].add(one.reply)
        for request, replies in received[site].items():
            assert replies == sent[request], f"{request}: received is not what {site} says it sent"
            assert len(replies) == 1, f"{request}: two releases for one charge"
        hold_home(home, facts, priced[site])
    return sum(len(own) for own in received.values())


def hold_home(
    home: NodeHome, facts: list[Facts], priced: dict[str, tuple[Part, SampledGaussian]]
) -> None:
    """Hold one ledger: of one state with its journal, covering what left, and working."""
    limit = load_policy(home).limit
    with Ledger(home.ledger) as ledger:
        rows = ledger.rows()
        hold_ledger(rows, facts)
        for part in PARTS:
            left = [event for its, event in priced.values() if its == part]
            cost = accounting.epsilon_rdp(left, delta=limit.delta)
            assert ledger.spent(part, delta=limit.delta).rdp >= cost, f"{part}: spent too little"
    if rows:
        copy = home.root / "copy.sqlite"
        shutil.copyfile(home.ledger, copy)
        with Ledger(copy) as ledger:
            before = ledger.spent("train", delta=limit.delta).rdp
            entry = next((row.entry for row in rows if row.entry.part == "train"), None)
            if entry is not None:
                after = next_reserved(ledger, entry, limit.epsilon, limit.delta)
                assert after > before
        copy.unlink()


def next_reserved(ledger: Ledger, entry: Entry, limit: float, delta: float) -> float:
    return ledger.reserve(
        entry.model_copy(update={"request": "the-next"}), limit=limit, delta=delta
    ).rdp


def main(folder: Path, kills: int, seed: int) -> None:
    study, random = study_in(folder), Random(seed)  # noqa: S311 - when to kill, and no secret
    for number in range(kills):
        killed(study, random)
        left = hold(study)
        print(f"{number + 1} {left}", flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
