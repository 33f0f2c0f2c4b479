"""Combiners that hold while some sites lie: median, trimmed mean and Krum.

* Every site counts once; weights are for the mean alone.
* They read the spool in the same chunks as the mean, smaller ones the more sites there are, so
  memory does not grow with their number.
* Sites are read in name order, ties go to the first name, and sums are of sorted values in float64:
  arrival order changes no bit.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from aggregator.aggregation.spool import Spool, Vector
from schemas.names import SiteName

CHUNK = 2**20
"""Values of all sites together that are in memory at a time."""


def median(spool: Spool, sites: Sequence[SiteName], *, chunk: int = CHUNK) -> Vector:
    """Return the median of every coordinate; of an even number, the mean of the middle two.

    Yin et al. 2018, arXiv:1803.01498, definition 1.
    """
    middle = (len(sites) - 1) // 2, len(sites) // 2 + 1
    return _by_coordinate(
        spool, sites, lambda ordered: ordered[slice(*middle)].mean(axis=0), chunk=chunk
    )


def trimmed_mean(
    spool: Spool, sites: Sequence[SiteName], trim: int, *, chunk: int = CHUNK
) -> Vector:
    """Drop the `trim` smallest and largest values of every coordinate, then average.

    Yin et al. 2018, arXiv:1803.01498, definition 2, with trim = beta m.
    """
    if len(sites) <= 2 * trim:
        message = f"{len(sites)} sites leave nothing when {trim} are trimmed at either end"
        raise ValueError(message)
    kept = slice(trim, len(sites) - trim)
    return _by_coordinate(spool, sites, lambda ordered: ordered[kept].mean(axis=0), chunk=chunk)


def nearest(
    spool: Spool, sites: Sequence[SiteName], *, dishonest: int, keep: int, chunk: int = CHUNK
) -> tuple[SiteName, ...]:
    """Return the `keep` sites whose updates lie nearest to their neighbours, in name order.

    Blanchard et al. 2017, arXiv:1703.02757, section 4: a site's score is the sum of the squared
    distances to its n - f - 2 nearest others.
    """
    names = sorted(sites)
    neighbours = len(names) - dishonest - 2
    if neighbours < 1:
        message = f"{len(names)} sites are too few for Krum with {dishonest} dishonest ones"
        raise ValueError(message)
    squared = squared_distances(spool, names, chunk=chunk)
    np.fill_diagonal(squared, np.inf)
    scores = np.sort(squared, axis=1)[:, :neighbours].sum(axis=1)
    best = np.argsort(scores, kind="stable")[:keep]
    return tuple(names[place] for place in sorted(best))


def squared_distances(
    spool: Spool, sites: Sequence[SiteName], *, chunk: int = CHUNK
) -> NDArray[np.float64]:
    """Return the squared L2 distance of each pair of updates, from their differences.

    ||x||^2 + ||y||^2 - 2 x.y would cancel where updates are long and alike.
    """
    squared = np.zeros((len(sites), len(sites)))
    for _, values in _chunks(spool, sites, chunk):
        for row in range(len(sites)):
            apart = np.subtract(values[row + 1 :], values[row], dtype=np.float64)
            squared[row, row + 1 :] += np.square(apart, out=apart).sum(axis=1)
    return squared + squared.T


def _by_coordinate(
    spool: Spool,
    sites: Sequence[SiteName],
    fold: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    chunk: int,
) -> Vector:
    """Fold each coordinate's sorted values of all sites into one."""
    if not sites:
        message = "a combiner needs at least one site"
        raise ValueError(message)
    result = np.empty(spool.size, dtype=np.float32)
    for place, values in _chunks(spool, sorted(sites), chunk):
        values.sort(axis=0)
        result[place] = fold(values.astype(np.float64))
    return result


def _chunks(
    spool: Spool, sites: Sequence[SiteName], chunk: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield every site's values of one part of the layout after another, [sites, part]."""
    width = max(1, chunk // len(sites))
    for start in range(0, spool.size, width):
        stop = min(start + width, spool.size)
        yield slice(start, stop), np.stack([spool.part(one, start, stop) for one in sites])
