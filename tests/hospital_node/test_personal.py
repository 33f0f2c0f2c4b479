"""A site's own model: what it is made of, where it stays, and what a crash does to it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hospital_node import personal
from hospital_node.config import run_folder
from schemas.aggregation import Aggregation, Personalisation
from schemas.wire.arrays import declared_layout, decoded
from tests.study import SITES, conducting, made

DELTAS: dict[str, NDArray[np.float32]] = {
    site: np.random.default_rng(number).normal(size=(6, 3)).astype(np.float32)
    for number, site in enumerate(SITES)
}


def rule(shared: float, *, average_from: int | None = None) -> Aggregation:
    return Aggregation(
        algorithm="fedavgm",
        learning_rate=0.5,
        momentum=0.75,
        average_from=average_from,
        personalisation=Personalisation(shared=shared),
    )


def lived(shared: float, *, average_from: int | None = None) -> dict[str, personal.Personal]:
    """Live through six rounds of prescribed deltas at three sites of equal weight."""
    wanted = rule(shared, average_from=average_from)
    states: dict[str, personal.Personal | None] = dict.fromkeys(SITES)
    iterate = velocity = np.zeros(3, dtype=np.float32)
    for number in range(6):
        for site in SITES:
            begun = personal.begun(
                states[site], {"w": iterate}, round_number=number + 1, rule=wanted
            )
            states[site] = personal.ended(begun, {"w": DELTAS[site][number]}, rule=wanted)
        mean = np.mean([DELTAS[site][number] for site in SITES], axis=0, dtype=np.float32)
        velocity = np.float32(0.75) * velocity + mean
        iterate = iterate + np.float32(0.5) * velocity
    return {site: state for site, state in states.items() if state is not None}


@pytest.mark.parametrize("shared", [0.0, 0.3, 1.0])
def test_own_arrays_mix_the_mean_delta_and_the_own_one_under_one_momentum(shared: float) -> None:
    for site, state in lived(shared).items():
        own = velocity = np.zeros(3)
        for number in range(5):
            mean = np.mean([DELTAS[one][number] for one in SITES], axis=0)
            velocity = 0.75 * velocity + shared * mean + (1 - shared) * DELTAS[site][number]
            own = own + 0.5 * velocity
        np.testing.assert_allclose(state.own["w"], own, rtol=1e-5, atol=1e-5)


def test_a_site_that_shares_all_follows_the_federation_and_one_that_shares_none_is_alone() -> None:
    together, alone = lived(1.0), lived(0.0)
    for site in SITES:
        np.testing.assert_allclose(together[site].own["w"], together[site].received["w"], atol=1e-5)
        last = personal.model(alone[site], rule=rule(0.0))["w"]
        iterate = velocity = np.zeros(3)
        for delta in DELTAS[site]:
            velocity = 0.75 * velocity + delta
            iterate = iterate + 0.5 * velocity
        np.testing.assert_allclose(last, iterate, rtol=1e-5, atol=1e-5)


def test_the_model_is_the_mean_of_the_iterates_since_average_from() -> None:
    wanted = rule(0.0, average_from=4)
    for site, state in lived(0.0, average_from=4).items():
        iterate = velocity = np.zeros(3)
        tail = []
        for delta in DELTAS[site]:
            velocity = 0.75 * velocity + delta
            iterate = iterate + 0.5 * velocity
            tail.append(iterate)
        found = personal.model(state, rule=wanted)["w"]
        np.testing.assert_allclose(found, np.mean(tail[3:], axis=0), rtol=1e-5, atol=1e-5)


def test_a_kept_state_is_read_again_and_a_repeated_round_begins_before_itself(
    tmp_path: Path,
) -> None:
    wanted = rule(0.5, average_from=2)
    state = None
    for number in (1, 2, 3):
        begun = personal.begun(
            state, {"w": np.full(3, number, np.float32)}, round_number=number, rule=wanted
        )
        state = personal.ended(begun, {"w": DELTAS["east"][number]}, rule=wanted)
        personal.keep(tmp_path, state, rule=wanted)
    assert personal.state_before(tmp_path, 1) is None
    before, again = personal.state_before(tmp_path, 3), personal.state_before(tmp_path, 4)
    assert before is not None
    assert before.round == 2
    assert again is not None
    assert (again.round, again.counted) == (3, state.counted if state else None)
    expected = begun.velocity["w"] * 0.75 + DELTAS["east"][3]
    np.testing.assert_array_equal(again.velocity["w"], expected)
    content = (tmp_path / personal.MODEL).read_bytes()
    stored = decoded(content, declared_layout(content))
    np.testing.assert_array_equal(stored["w"], personal.model(again, rule=wanted)["w"])


@pytest.mark.parametrize("private", [False, True])
def test_a_personalised_run_leaves_each_site_its_own_model_and_one_for_all(
    tmp_path: Path, *, private: bool
) -> None:
    aggregation = {"personalisation": {"shared": 0.5}}
    study = made(tmp_path / "study", private=private, aggregation=aggregation)
    with conducting(study) as (embedded, conducted, _):
        state = conducted()
        common = embedded.federation.store.arrays(state.server.iterate)
    place = run_folder(state.run, study.parsed().digest)
    models = {
        site: (study.nodes[site] / "personal" / place / personal.MODEL).read_bytes()
        for site in SITES
    }
    assert len({common, *models.values()}) == len(SITES) + 1
    assert all(declared_layout(one) == declared_layout(common) for one in models.values())
