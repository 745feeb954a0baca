"""What must come of a program, by one rule: a log is a list of what was started, and an entry is a step or another log.

Undo goes backwards, and what an entry contains goes with it, first (R20).  Those who run a program tell a `Trail` what
happens, with the place in the tree that the rule gives it; `Trail.verdict` then says what the rule does not allow.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["block", "savepoint", "step", "attempt", "hand"]

#: What the package may raise of its own where a program is right.
CLOSED, DOOMED, ROLLBACK_FAILED = OWN = "TransactionClosed", "TransactionDoomed", "RollbackFailed"

#: Whether a step that fails while something around it is about to be undone is undone at once too, or with that.
ALWAYS_AT_ONCE = True


class Boom(Exception):
    """What a step or a block raises."""


class Broken(RuntimeError):
    """What an undo raises."""


# -- programs


@dataclass(frozen=True)
class Step:
    """A step; so many of its first attempts fail."""

    name: str
    body: Body
    is_async: bool
    fails: int
    attempts: int
    undo_fails: bool
    caught: bool


@dataclass(frozen=True)
class Savepoint:
    """A block inside the block, or the block itself; it ends "well", "badly", or by a "rollback"."""

    name: str
    body: Body
    is_async: bool
    end: str
    caught: bool


@dataclass(frozen=True)
class Hand:
    """An undo recorded by hand, by the innermost `q` or, far, by the outermost."""

    name: str
    undo_fails: bool
    far: bool


@dataclass(frozen=True)
class Queue:
    """Steps that are queued, and executed now or at the end of the block."""

    steps: tuple[Step, ...]
    now: bool


@dataclass(frozen=True)
class Mark:
    """A "pause" lets others go on; a "meet" waits until all branches of the fork are at such a mark, or have ended."""

    what: str


@dataclass(frozen=True)
class Fork:
    """Several things at once, and some beside them in the flow that starts them, which may then wait for them."""

    name: str
    how: str
    branches: tuple[Body, ...]
    beside: Body
    caught: bool


Node: TypeAlias = Step | Savepoint | Hand | Queue | Mark | Fork
Body: TypeAlias = tuple[Node, ...]


@dataclass(frozen=True)
class Program:
    """A block; and whom to cancel, at which checkpoint."""

    world: str
    block: Savepoint
    cancelled: str
    at: int


# -- what has happened


@dataclass(eq=False)
class Entry:
    """A block, a savepoint, a step, one attempt of its body, or an undo recorded by hand.

    Attributes:
        flow: the thread that it was started in; all tasks of an event loop are one.
        whole: whether it has a log of its own, so that nothing else is undone between what it contains.
        started, left, out: when its body was entered, and left; and when the code around it went on.
        failed: whether what it contains must be undone, between the last two.
        undone: when its undo was called.
    """

    name: str
    kind: Kind
    around: Entry | None
    flow: int
    whole: bool
    started: int
    left: int | None = None
    out: int | None = None
    failed: bool = False
    by_hand: bool = False  # rolled back explicitly
    undone: list[int] = field(default_factory=list[int])
    inside: list[Entry] = field(default_factory=list["Entry"])

    def chain(self) -> Iterator[Entry]:
        """The entry, and those around it."""
        entry: Entry | None = self
        while entry is not None:
            yield entry
            entry = entry.around

    def tree(self) -> Iterator[Entry]:
        """What it contains."""
        for entry in self.inside:
            yield entry
            yield from entry.tree()

    @property
    def here(self) -> Entry:
        """Where things go that its body starts now."""
        return self.inside[-1] if self.kind == "step" else self

    @property
    def shut(self) -> bool:
        """Whether it takes no steps any more, or is about to."""
        return any(
            entry.failed if entry.kind in ("step", "attempt") else entry.left is not None for entry in self.here.chain()
        )

    @property
    def cause(self) -> Entry | None:
        """The innermost thing that failed and has this in it."""
        return next((entry for entry in self.chain() if entry.failed), None)

    @property
    def late(self) -> bool:
        """Whether something around it had ended before it was started."""
        return any(entry.out is not None and entry.out < self.started for entry in self.chain() if entry is not self)


class Trail:
    """What has happened, in order, and the tree that it has made."""

    def __init__(self, cancelled: type[BaseException] | None = None) -> None:
        self.cancelled: tuple[type[BaseException], ...] = () if cancelled is None else (cancelled,)
        self.story: list[str] = []
        self.wrong: list[str] = []
        self.entries: list[Entry] = []
        self.broken: list[Entry] = []  # those whose undo failed
        self.queued: list[BaseException] = []  # what queued steps have raised
        self.lock = threading.RLock()

    # -- what happens

    def _now(self, word: str) -> int:
        self.story.append(word)
        return len(self.story) - 1

    def start(
        self, kind: Kind, name: str, around: Entry | None, *, flow: int, whole: bool = False, added: Entry | None = None
    ) -> Entry:
        """A body is entered, or an undo recorded."""
        with self.lock:
            around = None if around is None else around.here
            if added is not None and added.cause is not None and added.cause.out is not None:
                self.wrong.append(f"{name} was started, but what had queued it has been undone")
            entry = Entry(name, kind, around, flow, whole, self._now(f"+{name}"))
            self.entries.append(entry)
            if around is not None:
                around.inside.append(entry)
            return entry

    @property
    def now(self) -> int:
        """How much has happened."""
        return len(self.story)

    def attempt(self, step: Entry) -> Entry:
        """The body of a step is entered, for the first time or again."""
        with self.lock:
            name = f"{step.name}#{len(step.inside) + 1}"
            entry = Entry(name, "attempt", step, step.flow, False, self._now(f"+{name}"))
            if step.inside:
                self._open_again(step.inside[-1], entry)
            step.inside.append(entry)
            self.entries.append(entry)
            return entry

    @staticmethod
    def _open_again(before: Entry, after: Entry) -> None:
        """What tasks of the attempt before have started once that was undone belongs to the step as it goes on."""
        before.out = after.started
        undone = max([before.left or 0, *(t for each in before.tree() if each.cause is before for t in each.undone)])
        after.inside = [each for each in before.inside if each.started > undone]
        before.inside = [each for each in before.inside if each.started < undone]
        for each in after.inside:
            each.around = after

    def leave(self, entry: Entry, *, failed: bool, by_hand: bool = False) -> None:
        """The body is left."""
        with self.lock:
            if entry.left is None:
                entry.left, entry.failed, entry.by_hand = self._now(f"<{entry.name}{'!' * failed}"), failed, by_hand

    def end(self, entry: Entry) -> None:
        """It has been rolled back explicitly."""
        with self.lock:
            entry.out = self._now(f"={entry.name}")

    def forget(self, entry: Entry) -> None:
        """An undo was not recorded: it came too late."""
        with self.lock:
            self.entries.remove(entry)
            if entry.around is not None:
                entry.around.inside.remove(entry)

    def undo(self, entry: Entry, *, fails: bool) -> None:
        """An undo is called."""
        with self.lock:
            entry.undone.append(self._now(f"-{entry.name}"))
            if fails:
                self.broken.append(entry)

    def refuse(self, name: str, within: Entry, error: BaseException, since: int) -> None:
        """Something was not started, that was called when so much had happened."""
        with self.lock:
            self._now(f"?{name}")
            if isinstance(error, self.cancelled):
                return
            # A step that has been opened again for another attempt was shut for a while.
            tries = [each for step in within.chain() if step.kind == "step" for each in step.inside]
            was_shut = any(each.failed and each.out is not None and each.out >= since for each in tries)
            if type(error).__name__ != CLOSED or not (within.shut or was_shut):
                self.wrong.append(f"{name} was refused in {within.name}, which is open: {error!r}")

    def cross(self, entry: Entry, inside: BaseException | None, outside: BaseException | None) -> None:
        """The code around goes on: with this, while the body was left with that."""
        with self.lock:
            now = self._now(f">{entry.name}{'' if outside is None else ' ' + type(outside).__name__}")
            entry.out = now if entry.out is None else entry.out
            if entry.kind == "step":
                last = entry.here
                last.out, entry.left = now, last.left
            if outside is None and inside is None and entry.kind == "block" and not entry.by_hand:
                doomed = [each.name for each in self.broken if each.undone[0] < (entry.left or 0)]
                if doomed:
                    self.wrong.append(f"{entry.name} has committed, although the undos of {doomed} have failed")
            entry.failed = entry.by_hand or outside is not None
            if not self._may_cross(entry, inside, outside):
                self.wrong.append(f"{entry.name} was left with {inside!r}, and {outside!r} came out")

    def _may_cross(self, entry: Entry, inside: BaseException | None, outside: BaseException | None) -> bool:
        if inside is outside or isinstance(outside, self.cancelled):
            return True  # a cancellation may come at any moment
        if isinstance(inside, BaseExceptionGroup) and self.cancelled:  # trio takes out what is of the step's scope
            return not isinstance(outside, Boom)
        name = type(outside).__name__
        around = entry.around
        if name == CLOSED and around is not None:  # or in trio, that a step, or its wait, has been cancelled by others
            waited = entry.kind == "step" and bool(self.cancelled) and isinstance(inside, Boom)
            return around.shut and (inside is None or isinstance(inside, self.cancelled) or waited)
        if inside is not None:
            return False
        if name == DOOMED:
            return bool(self.broken) or (around is not None and around.shut)
        return any(outside is error for error in self.queued) or (name == ROLLBACK_FAILED and bool(self.broken))

    def expect(self, name: str, error: BaseException | None) -> None:
        """Something comes out that nothing is done about."""
        own = type(error).__name__ in OWN  # a group, too
        together: tuple[BaseException, ...] | None = None if own else getattr(error, "exceptions", None)
        for each in together or ():
            self.expect(name, each)
        if together is None and not own and not isinstance(error, (Boom, *self.cancelled, type(None))):
            self.wrong.append(f"{name} raised {error!r}")

    # -- what the rule says

    def verdict(self) -> list[str]:
        """What is not as it must be, once everything has ended."""
        wrong = list(self.wrong)
        for entry in self.entries:
            wrong += self._once(entry)
            wrong += [] if entry.kind != "block" else self._waited_for(entry)
            if entry.failed:
                wrong += self._alone(entry)
                wrong += self._backwards(entry)
        return wrong

    def _once(self, entry: Entry) -> Iterator[str]:
        """A step is undone once, at the right time, if something failed that has it in it; and otherwise never."""
        for each in entry.chain():
            # An attempt that has failed takes what its tasks start until the step itself has ended.
            ends = (
                (each.failed or each.kind == "block") and each is not entry and "attempt" not in (entry.kind, each.kind)
            )
            if ends and each.out is not None and each.out < entry.started:
                yield f"{entry.name} was started after {each.name} had ended"
        if entry.kind not in ("step", "hand"):
            return
        cause, times = entry.cause, len(entry.undone)
        if cause is None:
            if times:
                yield f"{entry.name} was undone, but nothing around it has failed"
        elif times != 1:
            yield f"{entry.name} was undone {times} times, and {cause.name}, which has it in it, has failed"
        elif entry.undone[0] < (cause.left or 0):
            yield f"{entry.name} was undone before {cause.name} had failed"
        elif cause.out is not None and entry.undone[0] > cause.out and not self._left_to_others(entry, cause):
            yield f"{entry.name} was undone after {cause.name} was left"
        if times and any(each.undone and max(each.undone) > min(entry.undone) for each in entry.tree()):
            yield f"{entry.name} was undone before what it contains"

    def _waited_for(self, block: Entry) -> Iterator[str]:
        """A block does not end, either way, while a step in it is running."""
        for entry in block.tree():
            if entry.kind == "attempt" and entry.started < (block.out or 0) < (entry.left or len(self.story)):
                yield f"{entry.name} was still running when {block.name} had ended"

    @staticmethod
    def _left_to_others(entry: Entry, cause: Entry) -> bool:
        """Whether it was undone with something around what failed, which was about to be undone by then."""
        return not ALWAYS_AT_ONCE and any(
            each.failed
            and each is not cause
            and each.left is not None
            and cause.out is not None
            and each.left < cause.out
            and (each.out is None or entry.undone[0] < each.out)
            for each in cause.chain()
        )

    def _alone(self, scope: Entry) -> Iterator[str]:
        """Undoing begins once no step in it is running, and none is started after that."""
        undone = [time for each in (scope, *scope.tree()) if each.cause is scope for time in each.undone]
        if not undone:
            return
        first = min(undone)
        # What a task starts once an attempt has been undone belongs to the step, which has not ended.
        last = max(undone) if "#" in scope.name else float("inf")
        for entry in scope.tree():
            if entry.started >= last:
                continue
            if entry.started > first:
                yield f"{entry.name} was started when the undoing of {scope.name} had begun"
            elif entry.kind == "attempt" and (entry.left is None or entry.left > first):
                yield f"{entry.name} was still running when the undoing of {scope.name} began"

    def _backwards(self, scope: Entry) -> Iterator[str]:
        """What was started later in the same flow is undone first, and what an entry contains goes with it."""
        mine = [each for each in (scope, *scope.tree()) if each.cause is scope and len(each.undone) == 1]
        place = {each: number for number, each in enumerate(sorted(mine, key=lambda each: each.undone[0]))}
        wrong: list[str] = []

        def span(entry: Entry) -> list[int]:
            after: dict[int, tuple[Entry, int]] = {}  # in each flow: what was started next, and the last of its undos
            places: list[int] = []
            for each in reversed(entry.inside):
                inner = span(each)
                if inner and not each.late:
                    behind = after.get(each.flow)
                    if behind is not None and behind[1] > min(inner):
                        wrong.append(f"{each.name} was undone before {behind[0].name}, which was started after it")
                    after[each.flow] = each, max(inner)
                places += inner
            if entry in place:
                places.append(place[entry])
            apart = entry.whole and places and max(places) - min(places) + 1 != len(places)
            if apart and not any(each.late for each in mine):
                wrong.append(f"something else was undone between what {entry.name} contains")
            return places

        span(scope)
        return iter(wrong)

    def report(self, undone: Sequence[str], failures: Sequence[str]) -> list[str]:
        """What in a report is not as it was."""
        broken = Counter(entry.name for entry in self.broken)
        well = Counter(entry.name for entry in self.entries for _ in entry.undone) - broken
        wrong: list[str] = []
        if Counter(undone) != well:
            wrong.append(f"reported as undone: {sorted(undone)}, but it was {sorted(well.elements())}")
        if Counter(failures) != broken:
            wrong.append(f"reported as failed: {sorted(failures)}, but it was {sorted(broken.elements())}")
        return wrong
