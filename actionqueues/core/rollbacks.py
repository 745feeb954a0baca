"""What users call to undo, on a block that goes on or is to end: `mark` and `rollback`, for sync and for async code.

Stands on marks, on how a block ends, and on the drivers.  Used by the shells.
"""

from __future__ import annotations

from typing import Any, Final, cast

from actionqueues.errors import IllegalOperation, RollbackFailed

from .block import Block
from .current import running_step
from .drivers import drive, drive_async
from .ending import roll_back
from .engine import Rollback
from .face import Face
from .marks import Mark, checked, going_back, must_be_directly_in
from .requests import Engine
from .telling import tell_left, tell_of_all
from .text import listed, raise_late

#: What a rollback undoes if it is not given a mark; not None, which a variable may be that was never set.
_EVERYTHING: Final[Any] = object()


class Marking(Face):
    """What both kinds of blocks share."""

    __slots__ = ()

    def mark(self, name: str | None = None) -> Mark:
        """Mark this place: ``q.rollback(to=mark)`` undoes what comes after it, and the block goes on.

        A mark serves the block that it is made in, and is made and gone back to directly in that: in none of its steps,
        and while no savepoint in it is open; that can have marks of its own.

        Args:
            name: what messages call it.

        Raises:
            TypeError: if the name is no string.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if a step is running here or a savepoint is open, or another task or thread has entered
                the block.

        ```python
        from actionqueues import transaction

        def book_one_of(hotels, book, pay):
            with transaction("holiday") as q:
                mark = q.mark()
                for hotel in hotels:
                    room = book(hotel)
                    if pay(room):
                        return room
                    q.rollback(to=mark)  # that room is given back, and the next one is tried
        ```
        """
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - if checked
            raise TypeError(f"mark() takes a name, not {name!r:.80}")
        self._must_be_mine("mark()")
        block = self._block
        must_be_directly_in(block, f"make a mark in {block.label}")
        made = Mark(block, name)
        block.put(block.log, (made,))
        return made

    def _back_to(self, mark: Mark) -> Engine[tuple[Rollback, BaseException | None]]:
        self._must_be_mine("rollback(to=...)")
        return going_back(self._block, mark, checked(self._block, mark))

    def _rolling_back(self) -> Engine[BaseException | None]:
        self._must_be_mine("rollback()")
        block = self._block
        step = running_step(block.here(), block)
        if step is not None:
            advice = "raise an exception in it instead: leaving the block with that rolls back"
            raise IllegalOperation(f"roll back {block.label}", f"the step {step.name} of it is running", advice)
        return roll_back(block, None)


def _raise_what_failed(rollback: Rollback, late: BaseException | None, block: Block, mark: Mark | None = None) -> None:
    """After a rollback of all, or to a mark, where there is no other exception to tell what could not be undone."""
    if late is not None:
        tell_of_all(block, late)
        raise_late(late)
    if not rollback.problems:
        return
    errors = [error for _, error in rollback.problems if isinstance(error, Exception)]
    names = listed(rollback.problems, lambda failure: failure.step.name)
    left = rollback.left
    if mark is None:
        left = [*block.report.not_undone, *block.report.skipped]
        others = "everything else that could be" if left else "everything else"
        message = f"{block.label}: {others} was rolled back, but not {names}"
    else:
        message = f"{block.label}: what came after {mark._label} was rolled back, but not {names}"
        message += ", so it cannot commit any more"
    raise tell_left(block, RollbackFailed(message, errors), left)


class RollsBack(Marking):
    """`rollback` of a block of sync code."""

    __slots__ = ()

    def rollback(self, *, to: Mark = _EVERYTHING) -> None:
        """Undo everything now and close the transaction; the block then ends without an exception.

        Or undo what came after a mark, ``q.rollback(to=mark)``, and go on: steps that were started after it are undone,
        in reverse order of start, wherever they were queued; what was queued or registered by `on_commit` after it is
        dropped.  What other tasks and threads have started after it is cancelled or waited for, and undone; what they
        started before it, or start meanwhile, stays.

        Args:
            to: what `mark` has returned; it can be gone back to again.

        Raises:
            RollbackFailed: after all undos have run, if any failed; a block that was to go on cannot commit then.
            TypeError: if `to` is no mark.
            TransactionClosed: if the transaction has already ended.
            IllegalOperation: if a step is running here, or another task or thread has entered it; or the mark is one of
                another block, or was undone with an earlier one, or a savepoint is open here.
        """
        block = self._block
        if to is _EVERYTHING:
            late = drive(self._rolling_back())
            _raise_what_failed(cast("Rollback", block.rollback), late, block)
        else:
            _raise_what_failed(*drive(self._back_to(to)), block, to)


class RollsBackAsync(Marking):
    """`rollback` of a block of async code."""

    __slots__ = ()

    async def rollback(self, *, to: Mark = _EVERYTHING) -> None:
        """Undo everything now and close the transaction, or what came after a mark, as `Transaction.rollback` does."""
        block = self._block
        if to is _EVERYTHING:
            late = await drive_async(self._rolling_back())
            _raise_what_failed(cast("Rollback", block.rollback), late, block)
        else:
            _raise_what_failed(*await drive_async(self._back_to(to)), block, to)
