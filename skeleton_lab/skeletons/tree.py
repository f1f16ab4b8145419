"""Trees of bones: distances along them, their middle, another root."""

from __future__ import annotations

from collections import deque

import numpy as np

Edges = list[tuple[int, int]]


def distances(edges: Edges, V: int) -> np.ndarray:
    """(V, V) int64, bones between two joints of trees, whichever way they point; V where no path leads."""
    beside: list[list[int]] = [[] for _ in range(V)]
    for child, parent in edges:
        beside[child].append(parent)
        beside[parent].append(child)
    table = np.full((V, V), V)
    np.fill_diagonal(table, 0)
    seen: set[int] = set()
    for start in range(V):
        if start in seen:
            continue
        waiting, reached = deque([start]), [start]
        while waiting:
            joint = waiting.popleft()
            for near in [each for each in beside[joint] if each not in reached]:
                # all paths from a new joint to those before it begin with the bone to the one it was found from
                table[near, reached] = table[reached, near] = table[joint, reached] + 1
                reached.append(near)
                waiting.append(near)
        seen.update(reached)
    return table


def middles(edges: Edges, V: int) -> list[int]:
    """The one or two joints in the middle of a longest path of a tree: from them the farthest joint is nearest."""
    farthest = distances(edges, V).max(1)
    return np.flatnonzero(farthest == farthest.min()).tolist()


def centre(edges: Edges, V: int, root: int) -> int:
    """ST-GCN's centre where none is published: the middle of the longest paths, of two the one nearer to the root."""
    from_root = distances(edges, V)[root]
    return min(middles(edges, V), key=lambda joint: from_root[joint])


def rerooted(edges: Edges, V: int, root: int) -> Edges:
    """The same bones as (child, parent) pairs that all lead to ``root``; the children in ascending order."""
    from_root = distances(edges, V)[root]
    return sorted((a, b) if from_root[a] > from_root[b] else (b, a) for a, b in edges)


def children(edges: Edges, V: int) -> list[list[int]]:
    """The joints that hang on each joint, in the order of the bones."""
    table: list[list[int]] = [[] for _ in range(V)]
    for child, parent in edges:
        table[parent].append(child)
    return table


def longest_path(edges: Edges, among: list[int], V: int) -> list[int]:
    """The joints of the longest path through joints of ``among`` alone; of equal ones the first in their order."""
    kept = [bone for bone in edges if set(bone) <= set(among)]
    table = distances(kept, V)
    reachable = np.where(table < V, table, -1)[np.ix_(among, among)]
    first, last = (among[k] for k in np.unravel_index(reachable.argmax(), reachable.shape))
    path = [first]
    while path[-1] != last:
        path.append(next(j for j in among if table[path[-1], j] == 1 and table[j, last] < table[path[-1], last]))
    return path
