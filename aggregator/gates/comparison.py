"""The update gate's second part: a round's updates held against each other.

* Length first, then direction among what is left, so that a long update hides no direction.
* Both need three updates: of two, nobody can say which is the odd one.
* Directions count alike whatever an update's length, so a liar weighs no more than a site.
* Values are read in chunks, in site order and in float64.
"""

import statistics
from collections.abc import Mapping

import numpy as np

from aggregator.aggregation.spool import Spool
from aggregator.gates.update_gate import Fault, next_power, norm_of
from schemas.aggregation import UpdateGate
from schemas.names import SiteName

LEAST_TO_COMPARE = 3

_CHUNK = 2**16


def faults_together(spool: Spool, gate: UpdateGate) -> dict[SiteName, Fault]:
    """Return the spooled updates that stand out from the others, with the reason.

    The median of the lengths and the mean of the directions hold while fewer than half of the sites
    collude.
    """
    norms = {site: norm_of(spool.body(site), spool.layout) for site in spool.sites()}
    faults = too_long(norms, gate)
    rest = {site: norm for site, norm in norms.items() if site not in faults}
    if gate.least_cosine > -1 and len(rest) >= LEAST_TO_COMPARE:
        faults |= opposed(mean_cosines(spool, rest), rest, gate)
    return faults


def too_long(norms: Mapping[SiteName, float], gate: UpdateGate) -> dict[SiteName, Fault]:
    """Return the updates that are far longer than the round's median.

    With a median of zero no ratio exists; then nothing is left out.
    """
    if len(norms) < LEAST_TO_COMPARE:
        return {}
    median = statistics.median(norms.values())
    return {
        site: Fault(
            "median-norm",
            f"update refused: its L2 norm is up to {next_power(norm / median):.0e} times the "
            f"median of {len(norms)} updates, at most {gate.max_norm_ratio:g} times is allowed",
        )
        for site, norm in sorted(norms.items())
        if 0 < gate.max_norm_ratio * median < norm
    }


def opposed(
    cosines: Mapping[SiteName, float], norms: Mapping[SiteName, float], gate: UpdateGate
) -> dict[SiteName, Fault]:
    """Return the updates that point against the others and are longer than opposed ones may be."""
    median = statistics.median(norms.values())
    return {
        site: Fault(
            "direction",
            f"update refused: its mean cosine with the {len(cosines) - 1} others is "
            f"{cosine:.1f}, under {gate.least_cosine:g}, and it is longer than "
            f"{gate.opposed_norm_ratio:g} times their median, which is allowed then",
        )
        for site, cosine in sorted(cosines.items())
        if cosine < gate.least_cosine and norms[site] > gate.opposed_norm_ratio * median
    }


def mean_cosines(spool: Spool, norms: Mapping[SiteName, float]) -> dict[SiteName, float]:
    """Return each update's mean cosine with the others; that of a zero update is zero.

    The mean over j of cos(i, j) is u_i . (sum of u_j), with u_i the update over its length: one
    pass, whatever the number of sites.
    """
    along = dict.fromkeys(sorted(norms), 0.0)
    for start in range(0, spool.size, _CHUNK):
        stop = min(start + _CHUNK, spool.size)
        parts = {
            site: spool.part(site, start, stop) / np.float64(norms[site] or 1.0) for site in along
        }
        total = np.zeros(stop - start)
        for part in parts.values():
            total += part
        for site, part in parts.items():
            # einsum has no threads of its own, which would contend with others in this process.
            along[site] += float(np.einsum("i,i->", part, total))
    others = len(along) - 1
    return {site: (inner - (norms[site] > 0)) / others for site, inner in along.items()}
