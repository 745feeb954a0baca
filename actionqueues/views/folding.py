"""Folding: of very many neighbours of one name, the first and the last ones, and all that somebody should look at.

Neighbours that repeat in a cycle, as in a loop that calls two or three steps, fold likewise.  What contains others is
like another one of its name that contains the like.  Time is linear in the number of nodes, and nothing recurses.

Stands on the model.  Used by the views.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, NamedTuple

from .model import SAVEPOINT, TOGETHER, Mark, Node, children_of

__all__ = ["Fold", "folded"]

#: The longest cycle that is looked for.
_LONGEST_CYCLE: Final = 4

#: So many of one run that somebody should look at are shown; more are counted.
_MOST_NOTABLE: Final = 50


class Fold(NamedTuple):
    """In the place of neighbours that are not shown."""

    depth: int  #: as theirs
    parent: int  #: as theirs
    labels: tuple[str, ...]  #: of one cycle: mostly one name
    hidden: tuple[int, ...]  #: the places of the neighbours; what they contain is not shown either
    marks: tuple[tuple[Mark, int], ...]  #: how those came out, the most frequent first

    @property
    def times(self) -> int:
        """How often the cycle is repeated in it."""
        return len(self.hidden) // len(self.labels)


def folded(nodes: Sequence[Node], *, first: int = 8, last: int = 2) -> Iterator[Node | Fold]:
    """All nodes in order, but of neighbours that repeat only so many first and last ones, and the notable ones.

    Runs that would hide fewer than three are shown.
    """
    shapes = _shapes(nodes)
    notable = _notable(nodes)
    todo: list[Node | Fold] = list(reversed(_plan(_inside(nodes, -1), nodes, shapes, notable, first, last)))
    while todo:
        item = todo.pop()
        yield item
        if isinstance(item, Node) and item.end > item.place + 1:
            todo += reversed(_plan(_inside(nodes, item.place), nodes, shapes, notable, first, last))


def _inside(nodes: Sequence[Node], parent: int) -> list[int]:
    return [node.place for node in children_of(nodes, parent)]


def _shapes(nodes: Sequence[Node]) -> list[int]:
    """A number for each node, the same for those that look alike but for how they came out."""
    known: dict[Hashable, int] = {}
    inside: dict[int, list[int]] = {}  # the shapes of what a node contains, the last one first
    shapes = [0] * len(nodes)
    for node in reversed(nodes):
        within = inside.pop(node.place, [])
        # What ran at the same time is alike in whatever order it began.
        parts = frozenset(Counter(within).items()) if node.kind == TOGETHER else tuple(within)
        shapes[node.place] = known.setdefault((node.kind, node.label, parts), len(known))
        if node.parent >= 0:
            inside.setdefault(node.parent, []).append(shapes[node.place])
    return shapes


def _notable(nodes: Sequence[Node]) -> list[bool]:
    """Whether somebody should look at it, or at something in it."""
    found = [not node.mark.plain or bool(node.back and not node.back.plain) for node in nodes]
    for node in reversed(nodes):
        if found[node.place] and node.parent >= 0:
            found[node.parent] = True
    return found


def _plan(
    places: list[int], nodes: Sequence[Node], shapes: list[int], notable: list[bool], first: int, last: int
) -> list[Node | Fold]:
    """What to show of these neighbours."""
    least = first + last + 3
    if len(places) < least:
        return [nodes[place] for place in places]
    found: list[Node | Fold] = []
    row = [shapes[place] for place in places]
    at = 0
    while at < len(places):
        cycle, times = _run(row, at, least)
        if not times:
            found.append(nodes[places[at]])
            at += 1
            continue
        run = places[at : at + cycle * times]
        found += _shorten(
            run, cycle, nodes, notable, min(first, max(1, first // cycle)), min(last, max(1, last // cycle))
        )
        at += len(run)
    return found


def _run(row: list[int], at: int, least: int) -> tuple[int, int]:
    """How long a cycle begins here, and how often it is repeated; 0 times if it is too seldom to fold."""
    for cycle in range(1, _LONGEST_CYCLE + 1):
        end = at + cycle
        while end < len(row) and row[end] == row[end - cycle]:
            end += 1
        if end - at >= least * cycle:
            return cycle, (end - at) // cycle
    return 1, 0


def _shorten(
    run: list[int], cycle: int, nodes: Sequence[Node], notable: list[bool], first: int, last: int
) -> list[Node | Fold]:
    """The first and last cycles, the notable ones as far as there are not too many, and folds between them."""
    found: list[Node | Fold] = []
    hidden: list[int] = []
    times = len(run) // cycle
    left = _MOST_NOTABLE

    def close() -> None:
        if len(hidden) <= 2 * cycle:
            found.extend(nodes[place] for place in hidden)
        else:
            found.append(_fold(hidden, cycle, nodes))
        hidden.clear()

    for turn in range(times):
        part = run[turn * cycle : (turn + 1) * cycle]
        is_notable = left > 0 and any(notable[place] for place in part)
        if is_notable or turn < first or turn >= times - last:
            left -= is_notable
            close()
            found += [nodes[place] for place in part]
        else:
            hidden += part
    close()
    return found


def _fold(hidden: list[int], cycle: int, nodes: Sequence[Node]) -> Fold:
    some = nodes[hidden[0]]
    marks = Counter(nodes[place].mark for place in hidden)
    labels = tuple(nodes[place].label or _UNNAMED.get(nodes[place].kind, "") for place in hidden[:cycle])
    return Fold(some.depth, some.parent, labels, tuple(hidden), tuple(marks.most_common()))


_UNNAMED: Final = {SAVEPOINT: "savepoint", TOGETHER: "several at once"}
