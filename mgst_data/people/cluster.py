"""Groups embeddings to persons by agglomerative clustering with average linkage (scipy)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

# Two groups of tracks are one person up to this mean distance: the threshold with the highest B-cubed F-measure in
# benchmarks/bench_people.py. A decision that is closer than UNCERTAIN to the threshold is listed.
THRESHOLD, UNCERTAIN = 0.48, 0.02
# Rows of the distance matrix that are in memory at a time.
_BLOCK = 1024
# torch computes distances with a rounding error below this; scipy decides.
_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class Doubt:
    """Two groups of tracks whose mean distance is near the threshold.

    Attributes:
        first: A track of one group, by its row.
        second: A track of the other group, by its row. No two tracks of the groups are closer.
        distance: Mean distance between the groups.
        joined: Whether the groups were joined to one person.
    """

    first: int
    second: int
    distance: float
    joined: bool


def cluster(
    embedding: Float[Tensor, "n d"], threshold: float = THRESHOLD, *, uncertain: float = UNCERTAIN
) -> tuple[Int[ndarray, " n"], list[Doubt]]:
    """Groups embeddings so that the mean distance between the members of two groups is above the threshold.

    The result does not depend on chance. Groups can only join if some of their members are closer than the threshold.
    So the tracks are first divided into the connected components of the graph of close pairs, which needs little
    memory. Average linkage then runs in each component.

    Args:
        embedding: One row per track.
        threshold: Largest mean distance between two groups that are joined.
        uncertain: Distance from the threshold within which a decision is listed as uncertain.

    Returns:
        The number of the group of each row, counted in the order of the first rows; and the uncertain decisions, the
        most uncertain first.
    """
    n = len(embedding)
    label = np.arange(n)
    doubts: list[Doubt] = []
    _, component = connected_components(_close(embedding, threshold + uncertain + _SLACK), directed=False)
    order = np.argsort(component, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(component[order])) + 1) if n else []:
        if len(rows) > 1:
            _join(rows, embedding[torch.from_numpy(rows)].double().numpy(), threshold, uncertain, label, doubts)
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    doubts.sort(key=lambda doubt: (abs(doubt.distance - threshold), doubt.first, doubt.second))
    return np.argsort(np.argsort(first))[inverse], doubts


def _join(
    rows: Int[ndarray, " m"],
    vectors: Float[ndarray, "m d"],
    threshold: float,
    uncertain: float,
    label: Int[ndarray, " n"],
    doubts: list[Doubt],
) -> None:
    """Runs average linkage on one component. Writes to ``label`` the first row of the group of each row."""
    members = {i: np.array([i]) for i in range(len(rows))}
    for step, (a, b, distance, _) in enumerate(linkage(pdist(vectors), "average"), start=len(rows)):
        if distance > threshold + uncertain:
            break  # the distances of average linkage ascend
        left, right = members.pop(int(a)), members.pop(int(b))
        if distance >= threshold - uncertain:
            apart = cdist(vectors[left], vectors[right])
            i, j = np.unravel_index(apart.argmin(), apart.shape)
            first, second = sorted((int(rows[left[i]]), int(rows[right[j]])))
            doubts.append(Doubt(first, second, float(distance), bool(distance <= threshold)))
        members[step] = np.sort(np.concatenate((left, right)))
        if distance <= threshold:
            label[rows[members[step]]] = rows[members[step][0]]


def _close(embedding: Float[Tensor, "n d"], limit: float) -> coo_array:
    """Returns the graph of the pairs with at most this distance."""
    n = len(embedding)
    pairs = [torch.zeros(0, 2, dtype=torch.long)]
    for begin in range(0, n, _BLOCK):
        found = (torch.cdist(embedding[begin : begin + _BLOCK], embedding[begin:]) <= limit).nonzero()
        pairs.append(found + begin)
    first, second = torch.cat(pairs).unbind(dim=1)
    return coo_array((np.ones(len(first), dtype=bool), (first.numpy(), second.numpy())), shape=(n, n))
