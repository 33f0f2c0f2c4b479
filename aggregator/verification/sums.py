"""Whether what the log says of opened sums holds: who was in them, who agreed, and nothing else.

* A sum has enough survivors, and enough of them agreed, each in its own log, to just this set.
* What the aggregator names is what the sites say they sent: adverts, values under masks or
  encryption, agreements, openings.
* A site helped to open one sum of a round. By its own log no update or histogram left it by itself
  where the plan sums them, and none that it signed alone is here.
* A model of such a round is made of the very values in its sum.
* A masked sum itself stands on the aggregator's word: to compute it again would take the secrets
  that masking keeps. An encrypted one stands on the signed openings of the sites, which are equal.
"""

from collections.abc import Iterator

from aggregator.verification.story import Story
from schemas.audit.artefacts import Replied
from schemas.audit.events import (
    CheckpointStored,
    ExchangeAnswered,
    ExchangeReceived,
    ExchangeReplied,
    ReplySent,
    SumOpened,
)
from schemas.audit.verification.findings import Findings
from schemas.protection.messages import EXCHANGES, Exchange, Purpose
from schemas.protection.settings import least_survivors, threshold
from schemas.protection.terms import is_summed

_LAST = ("unmask", "open")
_WHOLE: dict[Purpose, Replied] = {"train": "update", "evaluate": "histogram"}
"""What a reply holds where no sum is opened."""
_EXCHANGED = "The sum is not of what the sites gave, or not all that it is of was told."


def hold_sums(story: Story, findings: Findings) -> None:
    """Hold every opened sum against the rules and against the sites' own logs."""
    for index, opened in story.stated(story.own, SumOpened):
        if opened.run == story.run:
            for found in (*_sets(story, opened), *_replies(story, opened), *_agreed(story, opened)):
                told = f"the {opened.purpose} sum of round {opened.round}: {found}"
                findings.fault(story.own, index, told, _EXCHANGED)
    _hold_once(story, findings)
    _hold_hidden(story, findings)
    _hold_unsigned(story, findings)
    if story.plan.protection.kind != "open":
        _hold_models(story, findings)


def _sets(story: Story, opened: SumOpened) -> Iterator[str]:
    trains = opened.purpose == "train"
    count = len(story.plan.trainers) if trains else len(story.plan.sites)
    survivors, sharing = set(opened.survivors), set(opened.sharing)
    if not survivors <= sharing <= set(opened.advertised):
        yield "it holds a site that did not take part from the start"
    if len(survivors) < least_survivors(count):
        yield f"{len(survivors)} sites are in it, {least_survivors(count)} are needed"
    if len(opened.agreements) < threshold(count) or not set(opened.agreements) <= survivors:
        yield f"{len(opened.agreements)} sites agreed, {threshold(count)} of those in it are needed"
    if _kind(story, opened) == "encrypted" and len(opened.openings) < threshold(count):
        yield f"{len(opened.openings)} sites opened it, {threshold(count)} are needed"


def _replies(story: Story, opened: SumOpened) -> Iterator[str]:
    """Yield what it names and the aggregator did not receive in that exchange."""
    received = {
        (facts.request, facts.site): facts
        for _, facts in story.stated(story.own, ExchangeReplied)
        if facts.run == story.run
    }
    first, _, value, agree, last = _order(story, opened)
    for exchange, named in (
        (first, opened.advertised),
        (value, opened.survivors),
        (agree, opened.agreements),
        (last, opened.openings),
    ):
        for site, digest in named.items():
            facts = received.get((_request(opened, exchange), site))
            known = None if facts is None else (facts.reply, facts.arrays)[exchange == value]
            if known != digest:
                yield f"what it names of {site} in the exchange {exchange} was not received"


def _agreed(story: Story, opened: SumOpened) -> Iterator[str]:
    """Yield the agreements that the sites' own logs do not bear out."""
    request = _request(opened, _order(story, opened)[3])
    for site, digest in opened.agreements.items():
        origin = story.sites().get(site, "")
        told = [
            one.sites for _, one in story.stated(origin, ExchangeReceived) if one.request == request
        ]
        gave = {
            one.reply for _, one in story.stated(origin, ExchangeAnswered) if one.request == request
        }
        if digest not in gave or any(set(one) != set(opened.survivors) for one in told):
            yield f"{site} agreed to no such set of survivors by its own log"


def _hold_once(story: Story, findings: Findings) -> None:
    """Hold that no site unmasked two sums of one round."""
    for origin in story.sites().values():
        asked = {
            one.request: (one.run, one.round, one.purpose)
            for _, one in story.stated(origin, ExchangeReceived)
            if one.exchange in _LAST
        }
        first: dict[tuple[str, int, str], str] = {}
        for index, one in story.stated(origin, ExchangeAnswered):
            place = asked.get(one.request)
            if place is not None and first.setdefault(place, one.request) != one.request:
                found = f"a second opening of round {one.round} left this site"
                findings.fault(origin, index, found, "Two sums of the same values were opened.")


def _hold_hidden(story: Story, findings: Findings) -> None:
    """Hold that nothing which is only summed left a site by itself, by the site's own log."""
    hidden = {artefact for purpose, artefact in _WHOLE.items() if is_summed(story.plan, purpose)}
    for origin in story.sites().values():
        for index, one in story.stated(origin, ReplySent):
            artefact = one.artefact if one.arrays is None else "update"
            if one.run == story.run and artefact in hidden:
                found = f"{artefact} of round {one.round} left this site in the open"
                findings.fault(origin, index, found, "The plan opens nothing but sums of these.")


def _hold_unsigned(story: Story, findings: Findings) -> None:
    """Hold that no site signed a histogram for itself alone where the plan sums them."""
    for one in story.evaluations.values():
        if one.run == story.run and is_summed(story.plan, "evaluate"):
            found = f"a histogram of round {one.round} that {one.site} signed alone is here"
            findings.fault(story.own, None, found, "The plan opens nothing but sums of these.")


def _hold_models(story: Story, findings: Findings) -> None:
    """Hold that each model is made of the values in its round's sum."""
    sums: dict[int, list[dict[str, str]]] = {}
    for _, opened in story.stated(story.own, SumOpened):
        if opened.run == story.run and opened.purpose == "train":
            sums.setdefault(opened.round, []).append(opened.survivors)
    for index, facts in story.stated(story.own, CheckpointStored):
        manifest = story.manifests.get(facts.manifest)
        if facts.run != story.run or manifest is None:
            continue
        made_of = {one.site: one.update for one in manifest.sources}
        if made_of not in sums.get(facts.round, []):
            found = f"the model of round {facts.round} is not made of a sum that was opened"
            findings.fault(story.own, index, found, _EXCHANGED)


def _kind(story: Story, opened: SumOpened) -> str:
    trains = opened.purpose == "train"
    return story.plan.protection.kind if trains else story.plan.evaluation.protection


def _order(story: Story, opened: SumOpened) -> tuple[Exchange, ...]:
    """Return the five exchanges in which a sum was opened."""
    return EXCHANGES.get(_kind(story, opened), EXCHANGES["masked"])


def _request(opened: SumOpened, exchange: str) -> str:
    return f"{opened.run}.{opened.round}.{opened.purpose}-{opened.attempt}-{exchange}"
