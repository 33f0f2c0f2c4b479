"""A federation of separate processes over TLS does what the embedded one does."""

from pathlib import Path

from hospital_node.config import NodeHome
from hospital_node.delivery import models
from schemas.audit.events import ModelDelivered, ReleaseDecided, ReplyReceived, RoundMoved
from schemas.audit.journal import read_events
from tests.deployed import deployed
from tests.study import SITES


def test_two_private_rounds_run_over_tls_with_every_party_in_a_process_of_its_own(
    tmp_path: Path,
) -> None:
    with deployed(tmp_path) as one:
        one.serve()
        one.nodes()
        one.led()
    facts = [event.facts for event in read_events(one.study.aggregator / "journal")]
    came = [(one.round, one.request, one.site) for one in facts if isinstance(one, ReplyReceived)]
    requests = [(number, kind) for number in (1, 2) for kind in ("train", "evaluate")]
    assert sorted((number, request.rpartition(".")[2], site) for number, request, site in came) == (
        sorted((number, kind, site) for number, kind in requests for site in SITES)
    )
    ends = [one.target for one in facts if isinstance(one, RoundMoved)]
    assert "abandoned" not in ends


def test_a_released_model_reaches_every_hospital_over_tls(tmp_path: Path) -> None:
    with deployed(tmp_path, private=False, rounds=1, evaluation={"rounds": [1]}) as one:
        one.serve()
        one.nodes()
        one.led()
    facts = [event.facts for event in read_events(one.study.aggregator / "journal")]
    (decision,) = (fact for fact in facts if isinstance(fact, ReleaseDecided))
    assert decision.is_released
    assert sorted(fact.site for fact in facts if isinstance(fact, ModelDelivered)) == list(SITES)
    for home in one.study.nodes.values():
        assert models(NodeHome(home)) == [decision.arrays]
