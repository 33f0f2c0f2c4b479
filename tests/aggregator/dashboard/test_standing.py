"""Where everything stands, from events and heads alone."""

from aggregator.dashboard.standing import heads_now, runs_now, sites_now
from schemas.audit.events import LogReceived
from schemas.audit.notes import TreeHead, cosignature, signed_head, witness_name
from tests.aggregator.audit import runs
from tests.aggregator.dashboard.homes import WITNESSES, roster


def told(log: runs.Log) -> dict[str, tuple[str, str, int]]:
    return {one.site: (one.state, one.detail, one.round) for one in sites_now(log.events, roster())}


def test_a_run_stands_where_its_last_edge_left_it() -> None:
    whole = runs.private_run()
    ended = runs_now(whole.events)[runs.RUN]
    assert (ended.round, ended.phase, ended.accepted, ended.ended) == (
        8,
        "accepted",
        8,
        "every round is done",
    )
    assert ended.auroc is not None
    assert abs(ended.auroc - (0.842 + 0.791) / 2) < 1e-9
    begun = runs_now(runs.empty_run().events)[runs.RUN]
    assert (begun.round, begun.phase, begun.accepted, begun.ended) == (0, "opened", None, "")
    whole.open(resumed=True)
    again = runs_now(whole.events)[runs.RUN]
    assert (again.ended, again.opened) == ("", ended.opened)


def test_a_request_is_open_until_the_round_moves() -> None:
    log = runs.empty_run()
    log.move(1, "accepted", "opened")
    log.ask(1, "train")
    assert runs_now(log.events)[runs.RUN].asked == "train"
    log.combine(1)
    assert runs_now(log.events)[runs.RUN].asked == ""


def test_a_site_stands_where_its_last_answer_left_it() -> None:
    log = runs.empty_run()
    assert told(log)["leeds"] == ("never asked", "", 0)
    assert told(log)["porto"] == ("revoked", "", 0)
    log.ask(1, "train")
    assert told(log)["leeds"] == ("asked", "train", 1)
    log.reply("leeds", 1, "train")
    log.refuse("charite", 1, "train", "unavailable")
    log.lose("hannover", 1, "train")
    assert told(log)["leeds"] == ("replied", "", 1)
    assert told(log)["charite"] == ("refused", "unavailable", 1)
    assert told(log)["hannover"] == ("missing", "", 1)
    log.quarantine("leeds", 1, "norm", "too long")
    log.quarantine(None, 1, "signature", "nobody's")
    assert told(log)["leeds"] == ("quarantined", "norm", 1)
    log.ask(2, "close")
    assert told(log)["leeds"] == ("quarantined", "norm", 1)


def test_how_far_a_sites_log_is_known_is_told() -> None:
    log = runs.empty_run()
    head = signed_head(TreeHead("site/leeds", 17, b"\1" * 32), runs.KEYS["leeds"])
    log.note(LogReceived(site="leeds", head=head))
    log.ask(1, "train")
    events = {one.site: one.events for one in sites_now(log.events, roster())}
    assert events == {"charite": 0, "hannover": 0, "leeds": 17, "porto": 0}


def test_only_valid_cosignatures_count_and_the_newest_head_comes_first() -> None:
    notes = []
    for size in range(1, 6):
        head = TreeHead(runs.ORIGIN, size, bytes([size]) * 32)
        notes.append(signed_head(head, runs.KEYS["aggregator"]))
    good = cosignature(notes[4], name=witness_name("leeds"), key=WITNESSES["leeds"], seconds=7)
    other = WITNESSES["charite"]
    stranger = cosignature(notes[3], name=witness_name("leeds"), key=other, seconds=7)
    shown = heads_now([*notes[:3], notes[3] + stranger, notes[4] + good], roster(), most=3)
    assert [one.head.size for one in shown] == [5, 4, 3]
    assert [dict(one.cosigned) for one in shown] == [{"leeds": 7}, {}, {}]
