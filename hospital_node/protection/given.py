"""What this site remembers of the sums that it gave a value to, beyond one round and one run.

* Two sums over one model, of which the second lacks a site, show that site's value by their
  difference. So a site lets one set of sites be opened over one model of a plan, in whichever run
  or round it is asked; the same set again shows nothing new.
* A sum hides a value among sites that the aggregator does not speak for. So the keys by which this
  site knows the others stay those of the first exchange, also where a newer roster has others.
* Both are in its journal before anything is given, and hold until a person here approves the plan
  again.
"""

from collections.abc import Collection, Iterator

from hospital_node.node import Node
from schemas.audit.events import PeersTaken, PlanApproved, SumGiven
from schemas.audit.lines import read_facts
from schemas.enrolment import Roster
from schemas.errors import EnvelopeRefused
from schemas.names import Digest, PublicKey, SiteName
from schemas.protection.messages import ExchangeRequest


def hold_peers(node: Node, request: ExchangeRequest, roster: Roster) -> None:
    """Hold the keys of those asked against those known; note the ones that are new here.

    Raises:
        EnvelopeRefused: another key than this site has known under this plan.
    """
    known = _peers(node, request.plan)
    members = (roster.member(one) for one in request.participants if one != node.config.site)
    keys = {one.site: one.key for one in members if one is not None}
    changed = sorted(site for site in keys.keys() & known.keys() if keys[site] != known[site])
    if changed:
        found = f"{', '.join(changed)} has another key than in this plan's first sum"
        raise _refused(found, "ask each of them for its new fingerprint, and")
    new = {site: key for site, key in keys.items() if site not in known}
    if new:
        node.journal.append(PeersTaken(plan=request.plan, keys=new))


def hold_sum(node: Node, request: ExchangeRequest, sites: Collection[SiteName]) -> None:
    """Hold the sites of a sum against those of an earlier one over the same model.

    Raises:
        EnvelopeRefused: they are not the same.
    """
    for one in _given(node, request):
        if set(one.sites) != set(sites):
            where = f"round {one.round} of {one.run}"
            raise _refused(f"other sites were in the sum over this model in {where}", "")


def give(node: Node, request: ExchangeRequest, sites: Collection[SiteName]) -> None:
    """Note, on disk, that the sum of these sites may be opened.

    Raises:
        EnvelopeRefused: a sum of other sites over the same model may.
    """
    hold_sum(node, request, sites)
    fields = request.model_dump(include={"run", "round", "purpose", "plan", "model"})
    node.journal.append(SumGiven(**fields, sites=tuple(sorted(sites))))


def _given(node: Node, request: ExchangeRequest) -> Iterator[SumGiven]:
    for one in _since_approval(node, request.plan):
        if isinstance(one, SumGiven) and (one.purpose, one.model) == (
            request.purpose,
            request.model,
        ):
            yield one


def _peers(node: Node, plan: Digest) -> dict[SiteName, PublicKey]:
    taken = (one for one in _since_approval(node, plan) if isinstance(one, PeersTaken))
    return {site: key for one in taken for site, key in one.keys.items()}


def _since_approval(node: Node, plan: Digest) -> list[PeersTaken | SumGiven]:
    """Return what this journal says of a plan, from its last approval on."""
    found = list[PeersTaken | SumGiven]()
    for one in read_facts(node.home.journal, PlanApproved, PeersTaken, SumGiven):
        match one:
            case PlanApproved(plan=named) if named == plan:
                found.clear()
            case PeersTaken(plan=named) | SumGiven(plan=named) if named == plan:
                found.append(one)
    return found


def _refused(found: str, before: str) -> EnvelopeRefused:
    approve = "approve the plan again: hospital-node policy approve PLAN --home DIR --approver NAME"
    return EnvelopeRefused(f"sum refused: {found}", next_step=f"{before} {approve}".strip())
