"""Journals of made-up runs, written event by event as an aggregator would write them."""

import functools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aggregator.audit.records import Purpose, ReportFacts
from schemas.accounting import spend
from schemas.audit.events import (
    AuditEvent,
    CheckpointStored,
    Enrolled,
    Facts,
    HomeMade,
    ModelDelivered,
    Quarantined,
    RefusalReceived,
    ReleaseDecided,
    ReplyMissing,
    ReplyReceived,
    RequestSent,
    RoundMoved,
    RunClosed,
    RunOpened,
    SoftwareStarted,
    VerdictGiven,
)
from schemas.audit.merkle import grown
from schemas.audit.notes import TreeHead, signed_head
from schemas.gate import CheckResult, Outcome, SiteMetric
from schemas.names import digest_of, moment_of
from schemas.pages.records import CertificateRow
from schemas.plan import TrainingPlan
from schemas.privacy import PrivacyStatement, SampledGaussian, Spend
from schemas.update import RefusalCode
from schemas.wire.keys import SigningKey
from tests.aggregator.audit.plans import CONTRACT, INITIAL, SITES, open_plan, private_plan
from tests.aggregator.audit.verdicts import metric, model, release_check, verdict

Asked: TypeAlias = Literal["train", "evaluate", "close"]
"""What a request that is recorded asks for."""

RUN = "run-20261120t090000-1f2e"
ORIGIN = "lung-federation/aggregator"
KEYS = {
    name: SigningKey(Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()))
    for name in ("aggregator", "charite", "hannover", "leeds")
}


@dataclass
class Log:
    """A journal being written: every event comes one and a half seconds after the one before."""

    plan: TrainingPlan
    events: list[AuditEvent] = field(default_factory=list)
    costs: dict[tuple[str, str], list[PrivacyStatement]] = field(default_factory=dict)

    def note(self, *facts: Facts) -> None:
        for one in facts:
            sequence = len(self.events)
            instant = datetime(2026, 11, 20, 9, tzinfo=UTC) + timedelta(seconds=1.5 * sequence)
            event = AuditEvent(sequence=sequence, time=moment_of(instant), origin=ORIGIN, facts=one)
            self.events.append(event)

    def begin(self) -> None:
        self.note(
            HomeMade(key=KEYS["aggregator"].public),
            *(
                Enrolled(federation="lung-federation", party=site, key=KEYS[site].public)
                for site in SITES
            ),
            SoftwareStarted(command="run", version="0.1.0", code=digest_of(b"code")),
        )
        self.open()

    def open(self, *, resumed: bool = False) -> None:
        self.note(
            RunOpened(
                run=RUN,
                plan=self.plan.digest,
                contract=CONTRACT.digest,
                initial=INITIAL,
                sites=SITES,
                resumed=resumed,
            )
        )

    def move(self, number: int, source: str, target: str) -> None:
        self.note(RoundMoved(run=RUN, round=number, source=source, target=target))

    def ask(self, number: int, purpose: Asked, arrays: str = INITIAL) -> str:
        request = f"{RUN}.{number}.{purpose}"
        self.note(
            RequestSent(
                run=RUN,
                round=number,
                request=request,
                purpose=purpose,
                arrays=arrays,
                sites=SITES,
            )
        )
        return request

    def reply(self, site: str, number: int, purpose: Purpose, *, cheaper: float = 1.0) -> None:
        name = f"{site}.{number}.{purpose}"
        self.note(
            ReplyReceived(
                run=RUN,
                round=number,
                request=f"{RUN}.{number}.{purpose}",
                site=site,
                reply=digest_of(name.encode()),
                arrays=digest_of(b"delta " + name.encode()) if purpose == "train" else None,
                size_bytes=9873 if purpose == "train" else 1640 + number,
                privacy=self._statement(site, purpose, cheaper=cheaper),
            )
        )

    def refuse(self, site: str, number: int, purpose: Purpose, code: RefusalCode) -> None:
        request = f"{RUN}.{number}.{purpose}"
        self.note(RefusalReceived(run=RUN, round=number, request=request, site=site, code=code))

    def lose(self, site: str, number: int, purpose: Purpose) -> None:
        request = f"{RUN}.{number}.{purpose}"
        self.note(ReplyMissing(run=RUN, round=number, request=request, site=site))

    def quarantine(self, site: str | None, number: int, check: str, reason: str) -> None:
        self.note(Quarantined(run=RUN, round=number, site=site, check=check, reason=reason))

    def train(self, number: int, sites: tuple[str, ...] = SITES) -> None:
        self.move(number, "accepted", "opened")
        self.ask(number, "train")
        for site in sites:
            self.reply(site, number, "train")
        self.combine(number)

    def combine(self, number: int) -> None:
        self.move(number, "opened", "collected")
        self.move(number, "collected", "screened")
        self.note(
            CheckpointStored(
                run=RUN,
                round=number,
                manifest=digest_of(b"manifest %d" % number),
                arrays=model(number),
            )
        )
        self.move(number, "screened", "combined")

    def judge(self, number: int, outcome: Outcome, *sites: SiteMetric) -> None:
        self.ask(number, "evaluate", arrays=model(number))
        for one in sites:
            self.reply(one.site, number, "evaluate")
        self.note(VerdictGiven(run=RUN, verdict=verdict(number, outcome, sites)))
        ends = {"accepted": "accepted", "rejected": "rolled-back", "inconclusive": "provisional"}
        self.move(number, "combined", "judged")
        self.move(number, "judged", ends[outcome])

    def close(self, accepted: int | None, reason: str = "every round is done") -> None:
        digest = None if accepted is None else model(accepted)
        self.note(RunClosed(run=RUN, accepted=digest, reason=reason))

    def decide(self, number: int, check: CheckResult, *sites: str) -> None:
        """Decide on the release by one check; these sites sign for the model."""
        is_released = check.outcome == "accepted"
        place: dict[str, Any] = {"run": RUN, "round": number, "arrays": model(number)}
        self.note(ReleaseDecided(**place, is_released=is_released, checks=(check,)))
        release = digest_of(b"release %d" % number)
        self.note(*(ModelDelivered(**place, site=site, release=release) for site in sites))

    def facts(self) -> ReportFacts:
        root = grown(one.canonical() for one in self.events).root()
        head = TreeHead(ORIGIN, len(self.events), root)
        return ReportFacts(
            federation="lung-federation",
            key=KEYS["aggregator"].public,
            head=signed_head(head, KEYS["aggregator"]),
            contract=CONTRACT,
            certificates=(
                CertificateRow(
                    subject="CN=consilium.example.org",
                    fingerprint=digest_of(b"certificate"),
                    since="2026-11-01T00:00:00.000Z",
                    until="2027-11-01T00:00:00.000Z",
                ),
            ),
            software="0.1.0",
            code=digest_of(b"code"),
            generated="2026-11-20T10:30:00.000Z",
        )

    def _statement(self, site: str, purpose: Purpose, *, cheaper: float) -> PrivacyStatement | None:
        is_update = purpose == "train"
        event = self.plan.train_event() if is_update else self.plan.evaluation_event()
        if event is None:
            return None
        before = self.costs.setdefault((site, purpose), [])
        spent = priced((*(one.event for one in before), event))
        statement = PrivacyStatement(
            event=event,
            max_norm=1.0,
            part="train" if is_update else "validation",
            spent=spent.model_copy(update={"rdp": spent.rdp * cheaper}),
        )
        before.append(statement)
        return statement


@functools.cache
def priced(events: tuple[SampledGaussian, ...]) -> Spend:
    return spend(events, delta=1e-4)


def private_run(title: str = "Pneumonia on chest X-rays, three hospitals") -> Log:
    """Eight rounds: accepted, inconclusive, rejected, accepted, with every kind of exception."""
    log = Log(private_plan(title))
    log.begin()
    log.train(1)
    log.move(1, "combined", "provisional")
    log.train(2)
    log.judge(
        2, "accepted", metric("charite", 0.702), metric("hannover", None), metric("leeds", 0.671)
    )
    log.move(3, "accepted", "opened")
    log.ask(3, "train")
    log.reply("charite", 3, "train")
    log.refuse("hannover", 3, "train", "unavailable")
    log.reply("leeds", 3, "train")
    log.combine(3)
    log.move(3, "combined", "provisional")
    log.train(4)
    log.judge(
        4,
        "inconclusive",
        metric("charite", 0.741),
        metric("hannover", None),
        metric("leeds", 0.702),
    )
    log.train(5, ("charite", "leeds"))
    log.lose("hannover", 5, "train")
    log.move(5, "combined", "provisional")
    log.move(6, "provisional", "opened")
    log.ask(6, "train")
    for site in SITES:
        log.reply(site, 6, "train")
    log.quarantine("leeds", 6, "norm", "its norm 81.3 is above the plan's 40")
    log.combine(6)
    log.judge(6, "rejected", metric("charite", 0.655, 0.028), metric("leeds", 0.66))
    log.train(7)
    log.move(7, "combined", "provisional")
    log.train(8)
    log.judge(
        8,
        "accepted",
        metric("charite", 0.842, 0.024),
        metric("hannover", None),
        metric("leeds", 0.791),
    )
    log.close(8)
    log.decide(8, release_check(0.817, 0.8), "charite", "leeds")
    log.note(ReplyMissing(run=RUN, round=8, request=f"{RUN}.8.deliver", site="hannover"))
    return log


def open_run() -> Log:
    """Two rounds without privacy, both accepted, and nothing out of order."""
    log = Log(open_plan())
    log.begin()
    for number, lift in ((1, 0.0), (2, 0.07)):
        log.train(number)
        log.judge(number, "accepted", *(metric(site, 0.85 + lift, 0.0) for site in SITES))
    log.close(2)
    return log


def withheld_run() -> Log:
    """Two rounds, whose accepted model misses the release criteria."""
    log = Log(private_plan())
    log.begin()
    for number, auroc in ((1, 0.7), (2, 0.75)):
        log.train(number)
        log.judge(number, "accepted", *(metric(site, auroc) for site in SITES))
    log.close(2)
    log.decide(2, release_check(0.75, 0.8))
    return log


def empty_run() -> Log:
    """A run that has only been opened."""
    log = Log(private_plan())
    log.begin()
    return log
