"""Every field that may leave a hospital, with the reason; the journal's events, kind by kind."""

BINDING = "repeats the request"
MASKING = ("Advert", "Boxes", "MaskedInput", "Agreement", "Unmasking")
ENCRYPTION = ("Announcement", "Deal", "Ciphertexts", "Settlement", "Opening")
BOUND = ("Update", "Evaluation", "Refusal", "Acknowledgement", "SelfCheck", *MASKING, *ENCRYPTION)
HEAD = "counts and hashes public events, which leave as well: see EVENTS"
PLAN = "a constant of the approved plan"
SPENT = "a function of constants of the plans that were charged"
FIELDS: dict[str, str] = {
    # What every reply is bound to.
    **{
        f"{kind}.{name}": BINDING
        for kind in BOUND
        for name in ("federation", "run", "plan", "round", "request")
    },
    **{f"{kind}.kind": "a constant of the software" for kind in BOUND},
    **{f"{kind}.site": "the roster names it" for kind in BOUND},
    **{f"{kind}.head": HEAD for kind in BOUND},
    # What is released.
    "Update.arrays": "charged: names a delta that was noised",
    "Evaluation.arrays": BINDING,
    "Evaluation.histogram.counts[][]": "charged: noised counts",
    "Evaluation.histogram.counts[]": "charged: noised counts of patients by Dice",
    "SelfCheck.arrays": BINDING,
    "SelfCheck.bound": PLAN,
    **{
        f"{kind}.{name}": BINDING
        for kind in (*MASKING, *ENCRYPTION)
        for name in ("purpose", "model", "attempt")
    },
    **{f"Advert.keys.{name}": "a public key, drawn for the attempt" for name in ("cipher", "mask")},
    "Advert.keys.seed": "the digest of 32 random bytes, drawn for the attempt",
    "Boxes.sites[]": BINDING,
    "Boxes.arrays": "hashes shares under ciphers",
    "MaskedInput.sites[]": BINDING,
    "MaskedInput.arrays": "hashes a value under its masks",
    "Agreement.survivors[]": BINDING,
    "Unmasking.survivors[]": BINDING,
    "Unmasking.arrays": "hashes shares, each of 521 random bits",
    "Announcement.sealing": "a public key, drawn for the attempt",
    "Deal.sites[]": BINDING,
    "Deal.sealing": "a public key, drawn for the attempt",
    "Deal.key": "the digest of a key, drawn for the attempt",
    "Deal.arrays": "hashes a key under ciphers",
    "Ciphertexts.key": "the digest of a key, drawn for the attempt",
    "Ciphertexts.arrays": "hashes a value under CKKS",
    "Settlement.inputs{}": "hashes values under CKKS",
    "Settlement.total": "hashes a sum under CKKS",
    "Opening.total": "hashes a sum under CKKS",
    "Opening.arrays": "charged: names a sum of deltas that were noised",
    "Refusal.code": "coarse; outside the guarantee, and every report says so",
    "Refusal.faulty": "names another site, by what that site signed",
    # What it cost.
    **{
        f"{kind}.privacy.{name}": reason
        for kind in ("Update", "Evaluation", "SelfCheck")
        for name, reason in {
            "event.kind": "a constant of the software",
            "event.sampling_rate": PLAN,
            "event.noise_multiplier": PLAN,
            "event.steps": PLAN,
            "max_norm": PLAN,
            "part": PLAN,
            "unit": "a constant of the software",
            "adjacency": "a constant of the software",
            "spent.delta": PLAN,
            "spent.rdp": SPENT,
            "spent.pld": SPENT,
        }.items()
    },
    # That a model came.
    "Receipt.kind": "a constant of the software",
    "Receipt.site": "the roster names it",
    **{f"Receipt.{name}": "repeats the release" for name in ("federation", "run")},
    **{f"Receipt.{name}": "names the release" for name in ("release", "arrays")},
    # Around a sealed reply.
    **{f"SealedReply.{name}": BINDING for name in ("federation", "request", "recipient")},
    "SealedReply.site": "the roster names it",
    "SealedReply.version": "a constant of the software",
    "SealedReply.sender": "a public key, drawn for this reply",
    "SealedReply.ciphertext": "hashes what the reply is sealed in",
    # Beside a reply.
    "Shared.first": "what the aggregator says that it has",
    "Shared.events[]": "public events: see EVENTS",
    "Shared.head": HEAD,
    "Shared.cosignature": "signs the aggregator's head, at a time",
    "Shared.conformance": "a ConformanceReport in its envelope, which a person let leave",
    # The request to join.
    "EnrolmentRequest.site": "the roster will name it",
    **{f"EnrolmentRequest.{name}": "a public key" for name in ("key", "witness", "transport")},
    "EnrolmentRequest.software": "a constant of the software",
    "EnrolmentRequest.made": "when a person asked to join",
    # The request for new keys.
    "KeyRotation.site": "the roster names it",
    "KeyRotation.replaces": "a public key",
    "KeyRotation.request": "an enrolment request, signed: see there",
    # The answer to a contract.
    "ConformanceReport.kind": "a constant of the software",
    "ConformanceReport.federation": "the roster names it",
    "ConformanceReport.site": "the roster names it",
    "ConformanceReport.contract": "a constant of the contract",
    "ConformanceReport.code": "coarse; outside the guarantee, as a refusal is",
    "ConformanceReport.head": HEAD,
    "ConformanceReport.declared[].part": "a constant of the contract",
    "ConformanceReport.declared[].patients": "a person's public statement, never counted",
    "ConformanceReport.noised[].part": "a constant of the contract",
    "ConformanceReport.noised[].patients": "charged: a noised count",
    **{
        f"ConformanceReport.noised[].privacy.{name}": reason
        for name, reason in {
            "event.kind": "a constant of the software",
            "event.sampling_rate": "a constant of the software",
            "event.noise_multiplier": "a constant of the contract",
            "event.steps": "a constant of the software",
            "max_norm": "a constant of the software",
            "part": "a constant of the contract",
            "unit": "a constant of the software",
            "adjacency": "a constant of the software",
            "spent.delta": "a constant of the plans that were charged",
            "spent.rdp": SPENT,
            "spent.pld": SPENT,
        }.items()
    },
}

EVENTS: dict[str, tuple[str, str]] = {
    "CohortIngested": ("contract conforms", "coarse; outside the guarantee, as every report says"),
    "CohortWithdrawn": (
        "approver changed removed",
        "a person's act, by contract; outside the guarantee, as every report says",
    ),
    "ConformanceReported": ("contract code report approver", "names what left"),
    "ExchangeAnswered": ("run round request reply arrays size_bytes", "names what left"),
    "ExchangeReceived": (
        "run round request purpose attempt exchange arrays sites repeated",
        "names what came",
    ),
    "ForkSeen": ("known shown", "notes that came"),
    "HeadCosigned": ("head", "a note that came"),
    "HomeMade": ("key", "a public key"),
    "ImageReviewed": (
        "contract verdict approver",
        "a person's act, one for an image; outside the guarantee, as every report says",
    ),
    "ImagesFetched": ("source contract complete", "a person's act, without counts"),
    "KeyReplaced": (
        "federation party old new old_witness new_witness reason",
        "public keys, and a coarse reason",
    ),
    "LimitSet": ("approver epsilon delta", "a person's choice"),
    "CodePinned": ("approver code", "a person's choice, and a digest of published code"),
    "ModelInstalled": ("run round arrays approver", "a person's act"),
    "ModelReceived": ("run round arrays release", "names what came"),
    "PeersTaken": ("plan keys", "names the roster's own public keys"),
    "PlanApproved": ("plan approver epsilon_limit delta", "a person's choice"),
    "Refused": ("run round request code", "names what left"),
    "ReplySent": ("run round request artefact reply arrays size_bytes", "names what left"),
    "RequestReceived": ("run round request purpose arrays repeated", "names what came"),
    "Reserved": ("request part event max_norm spent", "as in the reply that it is charged for"),
    "RosterTaken": ("serial roster", "names what came"),
    "Settled": ("request outcome", "a reply left"),
    "PrivateErased": ("approver before", "a person's act, and a moment that the person chose"),
    "SoftwareStopped": ("command version code outcome", "how a person's act ended"),
    "SoftwareStarted": ("command version code", "a person's act, with public software"),
    "WorkLimited": ("approver", "a person's act; the limits stay"),
    "SumGiven": ("run round purpose plan model sites", "repeats the request"),
    "TurnedAway": ("what reason count", "a coarse code; who it was stays"),
}
"""Fields of every event that a node writes, and why they may leave."""
