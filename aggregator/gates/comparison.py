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
from aggregator.gates.update_gate import Fault, next_power
from schemas.aggregation import UpdateGate
from schemas.names import SiteName

LEAST_TO_COMPARE = 3

_CHUNK = 2**17


def faults_together(
    spool: Spool, norms: Mapping[SiteName, float], gate: UpdateGate
) -> dict[SiteName, Fault]:
    """Return the spooled updates that stand out from the others, with the reason.

    The median of the lengths and the mean of the directions hold while fewer than half of the sites
    collude.
    """
    faults = too_long(norms, gate)
    rest = {site: norm for site, norm in norms.items() if site not in faults}
    if gate.least_cosine > -1 and _long_ones(rest, gate.opposed_norm_ratio):
        faults |= opposed(mean_cosines(spool, rest), rest, gate)
    return faults


def too_long(norms: Mapping[SiteName, float], gate: UpdateGate) -> dict[SiteName, Fault]:
    """Return the updates that are far longer than the others."""
    return {
        site: Fault(
            "median-norm",
            f"update refused: its L2 norm is up to {next_power(ratio):.0e} times the median of "
            f"the {len(norms) - 1} others, at most {gate.max_norm_ratio:g} times is allowed",
        )
        for site, ratio in _long_ones(norms, gate.max_norm_ratio).items()
    }


def opposed(
    cosines: Mapping[SiteName, float], norms: Mapping[SiteName, float], gate: UpdateGate
) -> dict[SiteName, Fault]:
    """Return the updates that point against the others and are longer than opposed ones may be."""
    return {
        site: Fault(
            "direction",
            f"update refused: its mean cosine with the {len(cosines) - 1} others is "
            f"{cosines[site]:.1f}, under {gate.least_cosine:g}, and it is longer than "
            f"{gate.opposed_norm_ratio:g} times their median, which is allowed then",
        )
        for site in _long_ones(norms, gate.opposed_norm_ratio)
        if cosines[site] < gate.least_cosine
    }


def _long_ones(norms: Mapping[SiteName, float], allowed: float) -> dict[SiteName, float]:
    """Return the norms over `allowed` times the median of the others, in units of that median.

    An update is no part of its own measure. With a median of zero no ratio exists.
    """
    if len(norms) < LEAST_TO_COMPARE:
        return {}
    medians = {
        site: statistics.median(norm for other, norm in norms.items() if other != site)
        for site in sorted(norms)
    }
    return {
        site: norms[site] / median
        for site, median in medians.items()
        if median > 0 and norms[site] > allowed * median
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
