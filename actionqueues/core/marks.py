"""`Mark`: a place in a block that what comes after it can be undone to, as often as wanted, while the block goes on.

A mark is an entry of the log of its block, as a commit hook is, so nothing has to be kept up to date: what is undone
with what stands around it takes its marks along, and one that is in the log no more is gone.  Going back moves what
stands behind the mark into a log of its own and undoes that, as if it were a savepoint that has failed.  What starts
meanwhile, in other tasks and threads, stands behind that log, and stays.

Stands on blocks and the engine.  Used by what users call, `rollbacks.py`, and by the end of a block.
"""

from __future__ import annotations

from typing import Any, NoReturn

from actionqueues.errors import IllegalOperation

from .block import Block
from .calls import Shut, shut_in
from .current import running_step
from .engine import Rollback
from .kept import keep, marks_of, past_of, undos_of
from .log import Log, new_log, place_of
from .requests import Engine, Shielded
from .tasks import running_task
from .text import first_of
from .waiting import is_savepoint, others_running, waited_for
from .waves import rollback_of


class Mark:
    """A place in a block: what comes after it is undone by ``q.rollback(to=mark)``, and the block goes on.

    Made by ``q.mark()``, in the block that it serves.  It can be gone back to again and again, until what it stands in
    has been undone itself: by the end of the block, or by going back to an earlier mark.

    Attributes:
        name: what messages call it, or None.
    """

    __module__ = "actionqueues"

    __slots__ = ("_block", "name")

    def __init__(self, block: Any, name: str | None = None) -> None:
        if not isinstance(block, Block):
            raise TypeError("a Mark is what q.mark() makes; call that")
        self._block, self.name = block, name

    @property
    def _label(self) -> str:
        return "the mark" if self.name is None else f"the mark {self.name!r}"

    def _place(self) -> int | None:
        """Where it stands in the log of its block; None if it is gone."""
        log = self._block.log
        for place in range(len(log) - 1, -1, -1):
            entry = log[place]
            if type(entry) is tuple and entry[0] is self:
                return place
        return None

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied: it is a place in a block, and serves that alone")

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<Mark{name} of {self._block.label}{', gone' if self._place() is None else ''}>"


class Back(Shut):
    """Stands in the place of the block in the logs of what is undone to a mark."""

    def __init__(self, block: Block, mark: Mark) -> None:
        super().__init__(block, f"{mark._label} has been gone back to, which stands before what started it")
        self.mark = mark._label


def checked(block: Block, mark: Mark) -> int:
    """The place of a mark in the log of this block, if it can be gone back to.

    Raises:
        TypeError: if it is no mark.
        IllegalOperation: if it is one of another block, or is gone, or the code that asks for it is inside what would
            be undone.
    """
    if not isinstance(mark, Mark):  # pyright: ignore[reportUnnecessaryIsInstance] - for those who do not check types
        raise TypeError(f"rollback(to=...) takes what q.mark() has returned, not {mark!r:.80}")
    what = f"roll {block.label} back to {mark._label}"
    if mark._block is not block:
        raise _of_another(what, mark._block, block)
    must_be_directly_in(block, what)
    place = mark._place()
    if place is None:
        raise IllegalOperation(what, "going back to an earlier mark has undone it", "make another one, by q.mark()")
    _refuse_open_savepoints(what, block, place)
    return place


def must_be_directly_in(block: Block, what: str) -> None:
    """Refuse it in a step, and while a savepoint is open here."""
    here = block.here()
    step = running_step(here, block)
    if step is not None:
        advice = "do it between the steps; to undo what a step has made so far, raise an exception in it"
        raise IllegalOperation(what, f"the step {step.name} of it is running", advice)
    if here is not block.log:
        raise _open_inside(what, here.block.real)


def _of_another(what: str, theirs: Block, block: Block) -> IllegalOperation:
    advice = "use one that q.mark() has made in this block"
    if _is_in(theirs, block):
        advice = "make one before the savepoint is entered, by q.mark() of this block"
    elif _is_in(block, theirs):
        advice = f"leave the savepoint, by an exception if need be, and call it on {theirs.label}"
    return IllegalOperation(what, f"it is a mark of another block, {theirs.label}, which is {theirs.state}", advice)


def _is_in(inner: Block, outer: Block) -> bool:
    parent = inner.parent
    while parent is not None and parent is not outer:
        parent = parent.parent
    return parent is outer


def _open_inside(what: str, savepoint: Block) -> IllegalOperation:
    advice = "leave that first, by an exception to undo it, or make a mark of its own in it"
    return IllegalOperation(what, f"{savepoint.label} inside it is still open", advice)


def _refuse_open_savepoints(what: str, block: Block, place: int) -> None:
    """Refuse to undo a savepoint that the code which asks for it is in, though not in this context."""
    if block.running:
        others = others_running(block, None, running_task())
        for entry in block.log[place + 1 :]:
            if type(entry) is Log and entry in block.running and is_savepoint(entry) and entry not in others:
                raise _open_inside(what, entry.block)


def going_back(block: Block, mark: Mark, place: int) -> Engine[tuple[Rollback, BaseException | None]]:
    """Undo what stands behind the mark at this place; returns how that went, and what has to be raised besides."""
    rollback = rollback_of(block, None)
    rollback.by_hand, rollback.dooms = True, block
    if len(block.log) == place + 1:
        return rollback, None
    block.plain, block.unsure = False, True  # while the log of it is there, this has not come to its end
    undone = _moved(block, mark, place)
    shut_in(undone, undone.block)
    stuck = yield from waited_for(block, undone, rollback.interrupts)
    kept = keep(undone) if block.watch is None else []
    if stuck is None:
        yield from rollback.to_its_end(lambda: _unwinding(block, rollback, undone))
    if rollback.entry is not None:
        block.unsettled += (rollback,)
    late = first_of(stuck, rollback.guard.broken)
    if late is None:  # otherwise the block cannot commit, and undoes what is left
        block.backs += 1
        entries = past_of(kept, undos_of(rollback.left, rollback.problems), block.backs)
        found = place_of(block.log, undone)
        assert found is not None  # noqa: S101 - only this thread takes anything out
        # In front of the mark, or the next one who goes back to it would have to look through that.
        told = [*marks_of(entries, left=rollback.left_something), block.log[found - 1]]
        block.log[found - 1 : found + 1] = told
        block.log.asked = -1, found - 1 + len(told), told[-1]  # no step is running up to there
        late = rollback.interrupt()
    rollback.log_left()
    rollback.release()
    return rollback, late


def _unwinding(block: Block, rollback: Rollback, undone: Log) -> Shielded:
    if block.watch is not None and rollback.log is None:  # otherwise it goes on after an interrupt
        yield from rollback.tell(block.watch.going_back, undone, None)
    yield from rollback.unwind(undone)


def _moved(block: Block, mark: Mark, place: int) -> Log:
    """Move what stands behind this place into a log of its own."""
    log = block.log
    end = len(log)
    undone = new_log(log, Back(block, mark), log.thread, direct=False)
    for entry in log[place + 1 : end]:
        undone.append(entry)
        if type(entry) is Log:
            entry.up = undone
    log[place + 1 : end] = [undone]
    return undone
