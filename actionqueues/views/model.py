"""`Story`: the plain data of a report, read once for all views: the way forward and the way back, as small nodes.

Each way is a tuple of nodes in the order in which a page shows them: a node, then all that it contains, and so on.
`Node.depth`, `Node.parent` and `Node.end` make a tree of it, so that nothing here or in a view has to recurse: data may
be nested as deep as it likes.  What ran at the same time is put under a node of its own, of the kind `TOGETHER`.

Stands on labels.  Used by all views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple, TypeAlias

from .labels import safe

__all__ = ["SAVEPOINT", "TOGETHER", "Mark", "Node", "Story", "children_of", "read"]

#: The kinds of nodes that contain others; the rest is "step", "by hand", and whatever the data name.
SAVEPOINT: Final = "savepoint"
TOGETHER: Final = "together"


class Mark(StrEnum):
    """How a step has come out, in the word that a reader sees; first forward, then back."""

    DONE = "done"
    RETRIED = "retried"  #: done, but not at the first attempt
    FAILED = "failed"
    UNKNOWN = "unknown"  #: started, and nobody knows how it ended
    RUNNING = "running"
    QUEUED = "queued"
    NEVER_STARTED = "never started"
    ROLLED_BACK = "rolled back"  #: of a savepoint

    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo failed"
    CONFLICT = "conflict"
    SKIPPED = "skipped"
    LEFT = "left"  #: nothing undoes it
    NOT_LANDED = "not landed"  #: its probe has said that it never happened
    ABANDONED = "abandoned"

    @property
    def plain(self) -> bool:
        """Whether nobody needs to look at it: of many of these, a few are enough."""
        return self in _PLAIN


_PLAIN = frozenset({Mark.DONE, Mark.QUEUED, Mark.NEVER_STARTED, Mark.UNDONE, Mark.NOT_LANDED})

_FORWARD: Final[dict[object, Mark]] = {
    "queued": Mark.QUEUED,
    "running": Mark.RUNNING,
    "done": Mark.DONE,
    "failed": Mark.FAILED,
    "dropped": Mark.NEVER_STARTED,
    "open": Mark.RUNNING,
    "rolling back": Mark.RUNNING,
    "released": Mark.DONE,
    "rolled back": Mark.ROLLED_BACK,
    "rolled back with failures": Mark.ROLLED_BACK,
}

_RUNNING: Final = frozenset(state for state, mark in _FORWARD.items() if mark is Mark.RUNNING)

_BACK: Final[dict[object, Mark]] = {
    "running": Mark.UNDOING,
    "undone": Mark.UNDONE,
    "undo failed": Mark.UNDO_FAILED,
    "conflict": Mark.CONFLICT,
    "skipped": Mark.SKIPPED,
    "not undone": Mark.LEFT,
    "not landed": Mark.NOT_LANDED,
    "abandoned": Mark.ABANDONED,
}

#: No time is as late: what is, as infinity and what is no number, is taken as unknown.
_NEVER: Final = 1e300

#: What is undone where it ends, not with the block around it.
_UNDONE_AT_ONCE = frozenset({Mark.FAILED, Mark.ROLLED_BACK})


class Node(NamedTuple):
    """A step, a savepoint, or what ran at the same time; on the way back, an undo.  All its texts are safe to show."""

    place: int  #: in its way
    parent: int  #: the place of what contains it, or -1
    depth: int  #: in how many others it is
    end: int  #: the place behind all that it contains
    kind: str
    number: int  #: of the entry; on the way back, of the one that is undone; 0 of what ran at the same time
    label: str  #: its name
    arguments: str
    mark: Mark
    back: Mark | None  #: on the way forward: what has become of its undo
    attempts: int
    error: str  #: "" for none
    reason: str  #: why it was left, or ""
    started: float | None
    ended: float | None
    source: int  #: on the way back, its place on the way forward; there, its own

    @property
    def seconds(self) -> float | None:
        """How long it took, if that is known."""
        if self.started is None or self.ended is None or self.ended < self.started:
            return None
        return self.ended - self.started


class Story(NamedTuple):
    """A report, read.  All its texts are safe to show."""

    kind: str
    name: str
    id: int | None
    state: str
    error: str  #: why it was rolled back, or ""
    reason: str  #: why it is stuck, or ""
    started: float | None
    ended: float | None
    clean: bool
    steps_known: bool  #: False for what has committed while nobody watched
    forward: tuple[Node, ...]
    back: tuple[Node, ...]  #: undos in the order in which they were made, and what was left, where it would have been
    hooks: tuple[tuple[str, str, str], ...]  #: name, state, error
    never_awaited: tuple[str, ...]
    journal_failures: tuple[str, ...]


def read(data: Mapping[str, Any], *, ascii_only: bool = False) -> Story:
    """Read what `Report.as_dict()` has given; with `ascii_only`, texts hold nothing but ASCII.

    Raises:
        TypeError: it is something else.
        ValueError: it is of a format that this version does not know.
    """
    if not isinstance(data, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - for those who do not check types
        raise TypeError(f"views draw what report.as_dict() gives, not {data!r:.80}")
    if data.get("format", 1) != 1:
        raise ValueError(
            f"a report of format {data['format']!r} cannot be drawn: this version of actionqueues knows format 1; "
            "use the version that has made it, or a newer one"
        )

    text = partial(safe, ascii_only=ascii_only)
    forward, entries = _forward(data, text)
    return Story(
        kind=text(data.get("kind") or "transaction"),
        name=text(data.get("name")),
        id=data.get("id"),
        state=text(data.get("state")),
        error=text(data.get("error")),
        reason=text(data.get("reason")),
        started=_time(data.get("started")),
        ended=_time(data.get("ended")),
        clean=bool(data.get("clean", True)),
        steps_known=bool(data.get("steps_known", True)),
        forward=forward,
        back=_back(forward, entries, text),
        hooks=tuple((text(e.get("name")), text(e.get("state")), text(e.get("error"))) for e in data.get("hooks") or ()),
        never_awaited=tuple(map(text, data.get("never_awaited") or ())),
        journal_failures=tuple(map(text, data.get("journal_failures") or ())),
    )


def children_of(nodes: Sequence[Node], parent: int = -1) -> Iterator[Node]:
    """What a node contains itself, or with -1, what stands at the top."""
    place, end = (0, len(nodes)) if parent < 0 else (parent + 1, nodes[parent].end)
    while place < end:
        yield nodes[place]
        place = nodes[place].end


_Entry: TypeAlias = Mapping[str, Any]
_Text: TypeAlias = Callable[[object], str]


class _Timed(NamedTuple):
    """An entry, and when it or its undo ran; what still runs has no end in sight."""

    entry: _Entry
    started: float | None
    ended: float | None
    source: int  #: of an undo, the place of its step


class _At(NamedTuple):
    """Where a node stands."""

    place: int
    parent: int
    depth: int
    end: int


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and -_NEVER < value < _NEVER else None


class _Open(NamedTuple):
    """A node that is being read: it is made once all that it contains has been."""

    place: int
    parent: int
    items: list[_Timed]
    inside: Iterator[list[_Timed]]


def _forward(data: Mapping[str, Any], text: _Text) -> tuple[tuple[Node, ...], list[_Entry]]:
    """The nodes, and what each was made of."""
    nodes: dict[int, Node] = {}
    entries: list[_Entry] = []
    around = [_Open(-1, -1, [], _together(map(_timed, data.get("steps") or ())))]
    while around:
        place, parent, items, inside = around[-1]
        depth = len(around) - 1
        if (found := next(inside, None)) is None:
            del around[-1]
            at = _At(place, parent, depth - 1, len(entries))
            if items:
                nodes[place] = _node(items[0], at, text) if len(items) == 1 else _group(items, at)
            continue
        contains = found[0].entry.get("contains") or ()
        if len(found) > 1:
            around.append(_Open(len(entries), place, found, iter([[item] for item in found])))
        elif contains:
            around.append(_Open(len(entries), place, found, _together(map(_timed, contains))))
        else:
            nodes[len(entries)] = _node(found[0], _At(len(entries), place, depth, len(entries) + 1), text)
        entries.append(found[0].entry)
    return tuple(map(nodes.__getitem__, range(len(entries)))), entries


def _timed(entry: _Entry) -> _Timed:
    started, ended = _time(entry.get("started")), _time(entry.get("ended"))
    return _Timed(entry, started, inf if ended is None and entry.get("state") in _RUNNING else ended, -1)


def _undo_timed(entry: _Entry, source: int) -> _Timed:
    started, ended = _time(entry.get("undo_started")), _time(entry.get("undo_ended"))
    return _Timed(entry, started, inf if ended is None and entry.get("undo") == "running" else ended, source)


def _together(items: Iterable[_Timed]) -> Iterator[list[_Timed]]:
    """Each in a list of its own, but neighbours of which each began before all those before it had ended in one."""
    found: list[_Timed] = []
    latest: float | None = None
    for item in items:
        started, ended = item.started, item.ended
        if started is None or latest is None or started >= latest:
            if found:
                yield found
            found = [item]
            latest = started if ended is None else ended
        else:
            found.append(item)
            latest = latest if ended is None or ended < latest else ended
    if found:
        yield found


def _group(items: Sequence[_Timed], at: _At) -> Node:
    started = min(item.started for item in items if item.started is not None)
    ended = max(inf if item.ended is None else item.ended for item in items)
    times = started, None if ended == inf else ended
    return Node(*at, TOGETHER, 0, "", "", Mark.DONE, None, 0, "", "", *times, at.place)


def _node(item: _Timed, at: _At, text: _Text) -> Node:
    entry, started, ended, _ = item
    attempts = entry.get("attempts") or 0
    mark = _FORWARD.get(entry.get("state"), Mark.UNKNOWN)
    undo = entry.get("undo")
    return Node(
        *at,
        text(entry.get("kind") or "step"),
        entry.get("number") or 0,
        text(entry.get("name")),
        text(entry.get("arguments")),
        Mark.RETRIED if mark is Mark.DONE and attempts > 1 else mark,
        None if undo is None else _BACK.get(undo, Mark.LEFT),
        attempts,
        text(entry.get("error")),
        text(entry.get("reason")),
        started,
        None if ended == inf else ended,
        at.place,
    )


def _back(forward: Sequence[Node], entries: Sequence[_Entry], text: _Text) -> tuple[Node, ...]:
    order = _undo_order(forward, entries)
    times: list[float] = []
    latest = -inf
    for place in order:  # what has no time of its own stays where it would have been undone
        started = _time(entries[place].get("undo_started"))
        latest = latest if started is None else max(latest, started)
        times.append(latest if started is None else started)
    order = [order[at] for at in sorted(range(len(order)), key=times.__getitem__)]

    found: list[Node] = []
    for items in _together(_undo_timed(entries[place], place) for place in order):
        parent = -1
        if len(items) > 1:
            parent = len(found)
            found.append(_group(items, _At(parent, -1, 0, parent + 1 + len(items))))
        for item in items:
            at = _At(len(found), parent, int(parent >= 0), len(found) + 1)
            found.append(_undo(forward[item.source], item, at, text))
    return tuple(found)


def _undo_order(forward: Sequence[Node], entries: Sequence[_Entry]) -> list[int]:
    """Where there are undos, in the order of undoing: backwards, but what has failed was undone before others began.

    So was what was undone on the way to a mark.
    """
    order: list[int] = []
    pending: list[int] = []
    within: list[tuple[int, int]] = []  # what is undone where it ends: its end, and what was pending when it began

    def undo(since: int) -> None:
        order.extend(reversed(pending[since:]))
        del pending[since:]

    backs = [(node.parent, _time(entries[node.place].get("went_back"))) for node in forward]
    ends = {back: node.end for node, back in zip(forward, backs, strict=True)}
    for node, back in zip(forward, backs, strict=True):
        while within and within[-1][0] <= node.place:
            undo(within.pop()[1])
        if back[1] and (end := ends.pop(back, None)) is not None:  # the first of these
            within.append((end, len(pending)))
        if node.mark in _UNDONE_AT_ONCE:
            within.append((node.end, len(pending)))
        if node.back is not None:
            pending.append(node.place)
    while within:
        undo(within.pop()[1])
    undo(0)
    return order


def _undo(node: Node, item: _Timed, at: _At, text: _Text) -> Node:
    entry, started, ended, source = item
    return Node(
        *at,
        node.kind,
        node.number,
        node.label,
        node.arguments,
        node.back or Mark.LEFT,
        None,
        entry.get("undo_attempts") or 0,
        text(entry.get("undo_error")),
        node.reason,
        started,
        None if ended == inf else ended,
        source,
    )
