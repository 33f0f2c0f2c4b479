"""What both reports say left a site of which only sums are opened."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aggregator.audit.publication import publish
from aggregator.audit.records import Report
from aggregator.runs import conduct
from hospital_node.audit.report import render, report
from hospital_node.config import NodeHome
from schemas.audit.artefacts import OF_PATIENTS
from schemas.names import now
from tests.encrypted import ENCRYPTED
from tests.masked import MASKED, SUMMED, Dropping, begun, made_of_four

MASKED_ONCE = {
    "public keys": 1,
    "sealed shares": 1,
    "value under masks": 1,
    "agreement": 1,
    "shares of masks": 1,
}
STORIES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "masked updates": (MASKED, {"self-check": 1, "histogram": 1} | MASKED_ONCE),
    "masked updates and histograms": (
        MASKED | SUMMED,
        dict.fromkeys(("self-check", *MASKED_ONCE), 2),
    ),
    "encrypted updates": (
        ENCRYPTED | {"rounds": 1},
        {
            "self-check": 1,
            "public keys": 1,
            "sealed key": 1,
            "ciphertexts": 1,
            "agreement": 1,
            "decrypted sum": 1,
            "histogram": 1,
        },
    ),
}


@pytest.mark.parametrize(("changes", "artefacts"), STORIES.values(), ids=STORIES)
def test_both_reports_name_all_that_left_a_site_for_a_sum(
    tmp_path: Path, changes: dict[str, Any], artefacts: dict[str, int]
) -> None:
    study = made_of_four(tmp_path, **changes)
    with begun(study) as (embedded, name):
        conduct(embedded.federation, name, Dropping(embedded.nodes), lambda _: None)
        page = publish(embedded.federation, name)
    told = Report.from_canonical(page.with_suffix(".json").read_bytes())
    own = report(NodeHome(study.nodes["east"]), generated=now())
    assert Counter(one.artefact for one in own.sent) == artefacts
    received = [one for one in told.releases if one.site == "east"]
    assert {
        (one.artefact, one.purpose, one.reply, one.arrays, one.size_bytes, one.round)
        for one in received
    } == {
        (one.artefact, one.purpose, one.sent_digest, one.arrays, one.size_bytes, one.round)
        for one in own.sent
    }
    (row,) = (one for one in told.sites if one.site == "east")
    assert (row.updates, row.evaluations) == (1, 1)
    assert row.messages == sum(artefacts.values()) - 2
    values = [one.sent_digest for one in own.sent if one.artefact in OF_PATIENTS]
    assert len(values) == 2
    for html in (page.read_text(), render(own)):
        assert all(f"<code>{digest}</code>" in html for digest in values)
        assert "self-check" in html
