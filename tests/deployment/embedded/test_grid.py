import threading
from collections.abc import Callable

import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run

from deployment.embedded.carriers import Carrier, as_objects, copied
from deployment.embedded.engine import run
from tests.deployment.embedded.echo import TIMELY_S


def on_grid(
    main: Callable[[Grid], None],
    train: Callable[[Message], Message],
    *,
    sites: str = "A",
    workers: int = 2,
    carrier: Carrier = copied,
) -> None:
    """Run a ServerApp that works on the grid itself."""
    server = ServerApp()

    @server.main()
    def led(grid: Grid, _: Context) -> None:
        main(grid)

    def client() -> ClientApp:
        app = ClientApp()

        @app.train()
        def answered(message: Message, _: Context) -> Message:
            return train(message)

        return app

    run(server, {site: client() for site in sites}, workers=workers, carrier=carrier)


def echo(message: Message) -> Message:
    return Message(message.content, reply_to=message)


def message(node: int, text: str = "", *, ttl: float = TIMELY_S) -> Message:
    return Message(
        RecordDict({"c": ConfigRecord({"text": text})}), node, MessageType.TRAIN, ttl=ttl
    )


def text_of(one: Message) -> str:
    record = one.content["c"]
    assert isinstance(record, ConfigRecord)
    return str(record["text"])


def test_a_node_takes_its_messages_one_at_a_time_in_their_order() -> None:
    taken: list[str] = []
    at_work = threading.Semaphore(1)

    def take(one: Message) -> Message:
        assert at_work.acquire(blocking=False)
        taken.append(text_of(one))
        at_work.release()
        return echo(one)

    def main(grid: Grid) -> None:
        [node] = grid.get_node_ids()
        came = list(grid.send_and_receive([message(node, text) for text in "abcdef"]))
        assert sorted(text_of(one) for one in came) == list("abcdef")

    on_grid(main, take, workers=4)
    assert taken == list("abcdef")


def test_a_message_whose_time_is_over_is_never_begun() -> None:
    release = threading.Event()
    taken: list[str] = []

    def take(one: Message) -> Message:
        assert release.wait(TIMELY_S)
        taken.append(text_of(one))
        return echo(one)

    def main(grid: Grid) -> None:
        [node] = grid.get_node_ids()
        grid.push_messages([message(node, "first"), message(node, "late", ttl=0.05)])
        threading.Timer(0.1, release.set).start()
        assert list(grid.send_and_receive([message(node, "last")], timeout=TIMELY_S))

    on_grid(main, take)
    assert taken == ["first", "last"]


def test_send_and_receive_returns_what_came_when_the_time_is_over() -> None:
    release = threading.Event()

    def take(one: Message) -> Message:
        if text_of(one) == "slow":
            assert release.wait(TIMELY_S)
        return echo(one)

    def main(grid: Grid) -> None:
        first, second = grid.get_node_ids()
        came = list(
            grid.send_and_receive([message(first, "slow"), message(second, "quick")], timeout=0.5)
        )
        release.set()
        assert [text_of(one) for one in came] == ["quick"]

    on_grid(main, take, sites="AB")


@pytest.mark.parametrize("carrier", [copied, as_objects])
def test_what_one_node_changes_in_a_broadcast_no_other_sees(carrier: Carrier) -> None:
    seen: list[str] = []

    def change(one: Message) -> Message:
        seen.append(text_of(one))
        one.content["c"] = ConfigRecord({"text": "changed"})
        return echo(one)

    def main(grid: Grid) -> None:
        records = RecordDict({"c": ConfigRecord({"text": "sent"})})
        nodes = list(grid.get_node_ids())
        came = list(
            grid.send_and_receive([Message(records, node, MessageType.TRAIN) for node in nodes])
        )
        assert [text_of(one) for one in came] == ["changed"] * 3
        assert records["c"] == ConfigRecord({"text": "sent"})

    on_grid(main, change, sites="ABC", carrier=carrier)
    assert seen == ["sent"] * 3


def test_a_reply_is_taken_once_and_names_its_message() -> None:
    def main(grid: Grid) -> None:
        [node] = grid.get_node_ids()
        [sent] = grid.push_messages([message(node)])
        came: list[Message] = []
        while not came:
            came = list(grid.pull_messages([sent]))
        assert [one.metadata.reply_to_message_id for one in came] == [sent]
        assert list(grid.pull_messages([sent])) == []

    on_grid(main, echo)


def test_a_grid_serves_its_own_run_only() -> None:
    def main(grid: Grid) -> None:
        grid.set_run(grid.run)
        with pytest.raises(ValueError, match="run 7 refused: this grid carries run 1 only"):
            grid.set_run(Run.create_empty(7))

    on_grid(main, echo)


def test_no_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        on_grid(lambda _: None, echo, workers=0)
