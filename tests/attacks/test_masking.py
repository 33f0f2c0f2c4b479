"""An aggregator that wants to see one hospital's update although the plan masks it.

It signs whatever requests it likes and hands on what it likes. Each test asks a real node.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aggregator.federation import opened as opened_federation
from aggregator.runs import conduct
from schemas.audit.events import Facts
from schemas.errors import QuorumLost
from schemas.names import SiteName, digest_of
from schemas.protection.agreement import PublicKeys
from schemas.protection.messages import (
    EXCHANGES,
    Advert,
    Agreement,
    Exchange,
    MaskedInput,
    Unmasking,
    framed,
    unframed,
)
from schemas.protection.shamir import SHARE_BYTES
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.keys import SigningKey
from tests.masked import FOUR, MASKED, begun, made_of_four
from tests.study import Direct, witnessed
from tests.tapped import Attacked, Restarting, round_before

THREE = ("east", "north", "west")
STRANGE = PublicKeys(cipher="09" + "00" * 31, mask="07" + "00" * 31, seed="00" * 32)


def as_signed(attacked: Attacked, of: SiteName, exchange: Exchange, **changes: Any) -> bytes:
    """Return a site's advert or agreement, changed, under the only key that the aggregator has."""
    kind = Advert if exchange == "advertise" else Agreement
    envelope = attacked.tapped.answers[exchange][of].envelope
    key = attacked.embedded.nodes[of].key.public
    record = opened(envelope, kind, key=key)
    return signed(record.model_copy(update=changes), attacked.embedded.federation.key)


def test_a_swapped_public_key_is_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        adverts = unframed(attacked.packet.body)
        swapped = as_signed(attacked, "north", "advertise", keys=STRANGE)
        body = framed([adverts[0], swapped, *adverts[2:]])
        attacked.refused("its signature is not of the expected key", body=body)
        # The honest adverts still count: the attack has cost nothing.
        assert attacked.answered("east", attacked.packet).body


def test_an_advert_of_another_site_or_attempt_is_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        adverts = unframed(attacked.packet.body)
        moved = framed([adverts[0], adverts[2], adverts[1], adverts[3]])
        attacked.refused("its signature is not of the expected key", body=moved)
        node = attacked.embedded.nodes["north"]
        record = opened(adverts[1], Advert, key=node.key.public)
        for changes in ({"attempt": 2}, {"round": 2}, {"model": digest_of(b"")}, {"run": "other"}):
            replayed = signed(record.model_copy(update=changes), node.key)
            body = framed([adverts[0], replayed, *adverts[2:]])
            attacked.refused("is of another site or attempt", body=body)


def test_an_aggregator_cannot_lie_about_who_takes_part_or_how_many_must(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        adverts = unframed(attacked.packet.body)
        two = framed(adverts[:2])
        attacked.refused("2 sites are left, at least 3 are needed", body=two, participants=FOUR[:2])
        invented = as_signed(attacked, "north", "advertise", site="mallory")
        body = framed([*adverts, invented])
        attacked.refused("mallory is not in the roster", body=body, participants=(*FOUR, "mallory"))
        twice = (*FOUR[:3], FOUR[0])
        attacked.refused("not one signed word of each site", participants=twice)
        attacked.refused("not one signed word of each site", participants=FOUR[:3])


def test_a_hospital_may_demand_more_survivors_than_the_plan(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        policy = attacked.embedded.nodes["east"].home.policy
        policy.write_text(policy.read_text() + "\n[sums]\nleast_survivors = 4\n")
        three = framed(unframed(attacked.packet.body)[:3])
        attacked.refused("3 sites are left, at least 4", body=three, participants=FOUR[:3])


def test_a_share_that_was_altered_on_the_way_is_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "input") as attacked:
        boxes = unframed(attacked.packet.body)
        altered = bytearray(boxes[1])
        altered[3] ^= 1
        body = framed([boxes[0], bytes(altered), *boxes[2:]])
        attacked.refused("the shares of north for east do not open", body=body)
        attacked.refused("the boxes that came are not one set", body=framed(boxes[:3]))
        twice = ("east", "north", "north", "west")
        attacked.refused("the boxes that came are not one set", participants=twice)
        reply = attacked.answered("east", attacked.packet)
        assert kind_of(reply.envelope) == MaskedInput.__name__


def test_a_split_view_of_the_survivors_opens_nothing(tmp_path: Path) -> None:
    with round_before(tmp_path, "agree") as attacked:
        words = {
            site: attacked.asked(site, participants=tuple(sorted(told))).envelope
            for site, told in {
                "east": FOUR,
                "north": ("north", "south", "west"),
                "south": ("north", "south", "west"),
                "west": ("north", "south", "west"),
            }.items()
        }
        split = ("north", "south", "west")
        four = framed([words["east"], *(words[one] for one in split)])
        attacked.refused(
            "north has agreed to another set of survivors than this site",
            body=four,
            exchange="unmask",
            request="unmask",
            participants=FOUR,
        )


def test_a_site_agrees_to_one_set_of_survivors(tmp_path: Path) -> None:
    with round_before(tmp_path, "agree") as attacked:
        attacked.refused("2 sites are left, at least 3", participants=("east", "north"))
        attacked.refused("it names a site that the plan does not", participants=(*THREE, "mallory"))
        reply = attacked.asked(participants=THREE)
        assert kind_of(reply.envelope) == Agreement.__name__
        attacked.refused("was asked by another request, one is allowed", participants=FOUR)


def test_fewer_agreements_than_the_threshold_open_nothing(tmp_path: Path) -> None:
    with round_before(tmp_path, "unmask") as attacked:
        words = unframed(attacked.packet.body)
        two = ("east", "north")
        attacked.refused(
            "2 sites agree to the survivors, 3 are needed", body=framed(words[:2]), participants=two
        )
        forged = as_signed(attacked, "west", "agree")
        body = framed([*words[:2], forged])
        attacked.refused(
            "its signature is not of the expected key",
            body=body,
            participants=("east", "north", "west"),
        )


def test_a_second_unmasking_is_refused_and_so_is_another_attempt(tmp_path: Path) -> None:
    with round_before(tmp_path, "unmask") as attacked:
        first = attacked.answered("east", attacked.packet)
        assert kind_of(first.envelope) == Unmasking.__name__
        assert len(first.body) == len(FOUR) * SHARE_BYTES
        assert attacked.answered("east", attacked.packet) == first
        words = unframed(attacked.packet.body)
        attacked.refused(
            "was asked by another request, one is allowed",
            body=framed([words[0], *words[2:]]),
            participants=("east", "south", "west"),
        )
        again: dict[str, Any] = {"attempt": 2, "body": b"", "request": "again"}
        attacked.refused("has no value of round 1 to give", exchange="advertise", **again)
        attacked.refused("takes part in no attempt of round 1", exchange="agree", **again)


def test_an_unmasking_of_an_earlier_attempt_tells_no_share_of_a_later_one(tmp_path: Path) -> None:
    with round_before(tmp_path, "unmask") as attacked:
        later(attacked, until="agree")
        # The request of attempt 1, with what all sites signed in it.
        attacked.refused("it is about another attempt", body=attacked.packet.body)


def test_an_earlier_attempt_does_not_begin_once_a_later_one_has(tmp_path: Path) -> None:
    with round_before(tmp_path, "agree") as attacked:
        begun_first: dict[str, Any] = {"exchange": "advertise", "body": b"", "participants": FOUR}
        reply = attacked.asked(request="third", attempt=3, **begun_first)
        assert kind_of(reply.envelope) == Advert.__name__
        (part,) = attacked.embedded.nodes["east"].home.sums.rglob("part.json")
        kept = part.read_bytes()
        attacked.refused(
            "a later attempt has begun already", request="second", attempt=2, **begun_first
        )
        assert part.read_bytes() == kept


def test_a_site_that_fell_between_its_answer_and_erasing_gives_no_more(tmp_path: Path) -> None:
    with round_before(tmp_path, "unmask") as attacked:
        (value,) = attacked.embedded.nodes["east"].home.sums.rglob("value")
        kept = {path: path.read_bytes() for path in (value, value.with_name("part.json"))}
        assert attacked.answered("east", attacked.packet).body
        assert not any(path.exists() for path in kept)
        for path, content in kept.items():
            path.write_bytes(content)
        again: dict[str, Any] = {"attempt": 2, "body": b"", "participants": FOUR}
        attacked.refused(
            "has unmasked a sum of this round already",
            exchange="advertise",
            request="again",
            **again,
        )
        # The stored answer may leave again, and what a crash left is erased before it does.
        assert attacked.answered("east", attacked.packet).body
        assert not any(path.exists() for path in kept)


def later(attacked: Attacked, *, until: Exchange) -> None:
    """Carry out the exchanges of attempt 2, as the honest aggregator would."""
    body = b""
    for exchange in EXCHANGES["masked"]:
        asked: dict[str, Any] = {"exchange": exchange, "request": f"{exchange}-2", "attempt": 2}
        replies = [attacked.asked(site, body=body, participants=FOUR, **asked) for site in FOUR]
        if exchange == until:
            return
        is_word = exchange == "advertise"
        body = framed(one.envelope if is_word else one.body for one in replies)
        body = b"" if exchange == "input" else body


def test_no_exchange_is_answered_before_the_one_that_it_follows(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        attacked.refused("a survivor has shared nothing", exchange="agree", request="x", body=b"")
    with round_before(tmp_path / "again", "advertise") as attacked:
        attacked.refused("takes part in no attempt of round 1", exchange="agree", request="x")


def test_a_request_of_another_round_plan_or_model_is_refused(tmp_path: Path) -> None:
    with round_before(tmp_path, "share") as attacked:
        attacked.refused("is of another site or attempt", round=2)
        attacked.refused("is of another site or attempt", attempt=2)
        attacked.refused("is of another site or attempt", model=digest_of(b""))
        attacked.refused("nobody at this hospital approved", plan=digest_of(b"plan"))
        attacked.refused("the plan does not mask what is asked for", purpose="evaluate")


def test_what_leaves_a_node_before_the_sum_tells_nothing_of_its_update(tmp_path: Path) -> None:
    with round_before(tmp_path, "agree") as attacked:
        node = attacked.embedded.nodes["east"]
        (value,) = node.home.sums.rglob("value")
        plain = value.read_bytes()[-400:]
        for answers in attacked.tapped.answers.values():
            assert plain not in answers["east"].body
        reply = attacked.tapped.answers["work"]["east"]
        assert (kind_of(reply.envelope), reply.body) == ("SelfCheck", b"")


def test_an_update_over_the_plans_bound_is_refused_before_any_exchange(tmp_path: Path) -> None:
    seen = list[Facts]()
    fine = {"kind": "masked", "fraction_bits": 40}
    small = {"protection": fine, "update_gate": {"max_norm": 1e-6}}
    study = made_of_four(tmp_path, **(MASKED | small))
    with begun(study) as (embedded, name):
        with pytest.raises(QuorumLost, match="0 usable updates came"):
            conduct(embedded.federation, name, Direct(embedded.nodes), seen.append)
        assert not list(embedded.nodes["east"].home.sums.rglob("value"))
    kinds = [one.kind for one in seen]
    assert (kinds.count("refusal-received"), kinds.count("exchange-asked")) == (4, 0)


def test_a_site_under_new_keys_repeats_what_it_answered_under_the_former(tmp_path: Path) -> None:
    with round_before(tmp_path, "agree") as attacked:
        node = attacked.embedded.nodes["east"]
        renewed = replace(node, key=SigningKey.generate(), former=(node.key.public,))
        for exchange in ("advertise", "share", "input"):
            packet = attacked.tapped.packets[exchange]
            reply = witnessed(attacked.embedded, renewed, packet)
            given = attacked.tapped.answers[exchange]["east"]
            assert (reply.envelope, reply.body) == (given.envelope, given.body)


def test_nodes_that_restart_between_all_exchanges_give_the_same_sum(tmp_path: Path) -> None:
    restarting = made_of_four(tmp_path / "restarting", **MASKED)
    with begun(restarting) as (_, run):
        homes = restarting.nodes
    with opened_federation(restarting.aggregator) as federation:
        found = conduct(federation, run, Restarting(homes), lambda _: None)
    with begun(made_of_four(tmp_path / "steady", **MASKED)) as (embedded, run):
        expected = conduct(embedded.federation, run, Direct(embedded.nodes), lambda _: None)
    assert found.candidate == expected.candidate
