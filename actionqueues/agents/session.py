"""`Session`: what the tools of one transaction have done, its checkpoints, and who may do what at the same time.

*While `undo_to` undoes, no tool starts; while a tool runs, nothing is undone.*  Who comes second is told so, and calls
again.

Stands on marks.  Used by the calls of tools, and by the meta tools.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeAlias
from weakref import WeakKeyDictionary

from actionqueues.core.block import Block
from actionqueues.core.current import running_step
from actionqueues.core.face import Face
from actionqueues.core.log import logs_in, new_log
from actionqueues.core.marks import Mark
from actionqueues.core.tasks import running_task
from actionqueues.errors import IllegalOperation, NoTransaction, RollbackFailed, TransactionClosed
from actionqueues.transaction import AsyncTransaction, Transaction

from .explaining import Explanation

__all__ = ["START", "Done", "Finder", "Session", "Undo", "session_of"]

#: The checkpoint that there is from the beginning.
START = "start"

#: The transaction, or what finds it at each call: the one of the session that the call comes from.
Finder: TypeAlias = Transaction | AsyncTransaction | Callable[[], Transaction | AsyncTransaction]


class _FromAnyTask(AsyncTransaction):
    """The same block for tasks that have not entered it: going back to a mark ends nothing.

    It takes any task of the event loop, and any thread for a mark.  `Session.alone` sees to it that no step is running.
    """

    __slots__ = ()

    async def back_to(self, mark: Mark) -> None:
        block, task = self._block, running_task()
        own = new_log(block.log, block, get_ident(), direct=False)
        own.task = None if task is block.task else task
        block.running[own] = None  # what the end of the block waits for
        try:
            await self.rollback(to=mark)
        finally:
            block.ended(own)

    def _must_be_mine(self, what: str) -> None:
        self._must_be_open(what)
        if what != "mark()":
            self._block.check_loop(what)


class Done:
    """One call of a tool: what the model is told of it.

    Attributes:
        said: the call.
        told: the same, with what ``@fn.describe`` says of it.
        failed: whether it has raised, and nothing undoes what it may have done by then.
        stays: whether it was gone back over, and nothing undoes it.
        mark: of a call in a step or in a savepoint, what stands there with it, and goes with it; None elsewhere.
    """

    def __init__(self, said: str, words: str | None, explanation: Explanation) -> None:
        self.said, self.explanation, self.running, self.failed = said, explanation, True, False
        self.stays = False
        self.mark: Mark | None = None
        self.told = said if words is None else f"{said}, which is: {words}"

    @property
    def can_go(self) -> bool:
        """Whether it stands no more if its mark is gone."""
        return self.mark is not None and not self.running and not self.explanation.destroys


class Session:
    """The tools of one transaction, whoever calls them.

    Attributes:
        face: the transaction.
        done: the calls that stand, in order of start; those that are running too.
        checkpoints: by name, the mark, and how many calls stood then.
    """

    def __init__(self, block: Block) -> None:
        self.face: Any = object.__new__(_FromAnyTask if block.awaits else Transaction)
        self.face._block = block
        self.done: list[Done] = []
        self.checkpoints: dict[str, tuple[Mark, int]] = {}
        self._lock = Lock()
        self._alone = ""
        self.set(START)

    @property
    def doomed(self) -> bool:
        """Whether an undo has failed, so that all of it is rolled back at the end."""
        return bool(self.face._block.root.doomed)

    @property
    def known(self) -> str:
        """The names of the checkpoints, in order."""
        return ", ".join(self.checkpoints)

    def set(self, name: str) -> None:
        """Set a checkpoint."""
        self.checkpoints[name] = self.face.mark(name), len(self.done)

    def start(self, done: Done) -> str | None:
        """A call starts; returns why it may not."""
        block = self.face._block
        here = block.here(done.said)
        with self._lock:
            if self._alone:
                return f"{done.said} has not run, since {self._alone} is running. Call it again once that has answered."
            if here is not block.log or running_step(here, block) is not None:
                done.mark = Mark(block)
                here.block.put(here, (done.mark,))
            self.done.append(done)
            return None

    def standing(self) -> list[Done]:
        """The calls that stand, without those that have been undone with the step or the savepoint around them."""
        with self._lock:
            self._forget_undone()
            return self.done[:]

    def _forget_undone(self) -> None:
        # Before each checkpoint, which counts them: none is set while a step or a savepoint is open.
        if any(each.mark is not None for each in self.done):
            entries: list[Any] = [entry for log in logs_in(self.face._block.log) for entry in log]
            there = {entry[0] for entry in entries if isinstance(entry, tuple) and isinstance(entry[0], Mark)}
            self.done = [each for each in self.done if not each.can_go or each.mark in there]

    def end(self, done: Done, *, failed: bool) -> None:
        """It has ended; what has `failed` was undone at once, if it can be."""
        with self._lock:
            done.running, done.failed = False, failed
            if failed and not done.explanation.destroys:
                self.done.remove(done)

    @contextmanager
    def alone(self, what: str) -> Generator[str | None, None, None]:
        """Let no tool start meanwhile; gives the reason, if that is not possible."""
        with self._lock:
            running = [each.said for each in self.done if each.running]
            running += [self._alone] * bool(self._alone)
            if not running and self.face._block.running:
                running = ["another step, or a savepoint,"]
            verb = "are" if len(running) > 1 else "is"
            busy = (
                f"Not now: {', '.join(running)} {verb} still running. Call {what} again later, alone."
                if running
                else None
            )
            if busy is None:
                self._alone = what
                self._forget_undone()
        try:
            yield busy
        finally:
            if busy is None:
                self._alone = ""

    def back(self, name: str) -> list[Done]:
        """A checkpoint has been gone back to; returns the calls that came after it, last first.

        What cannot be undone has been done all the same, and is listed by `changes` from then on; it is told once.
        """
        count = self.checkpoints[name][1]
        with self._lock:
            gone = [each for each in self.done[count:] if not each.stays]
            self.done[count:] = [each for each in self.done[count:] if each.explanation.destroys]
            for each in self.done[count:]:
                each.stays = True
        names = list(self.checkpoints)
        for later in names[names.index(name) + 1 :]:
            del self.checkpoints[later]
        return gone[::-1]


class Undo:
    """Going back to a checkpoint: around the rollback, which is sync or async, and not to be done if `text` says why.

    Attributes:
        text: what the model is told.
    """

    def __init__(self, session: Session, name: str, text: str) -> None:
        self.session, self.name, self.text = session, name, text
        self.refused = bool(text)
        self.left = list(session.face.report.left)

    @property
    def mark(self) -> Mark:
        """What it goes back to."""
        return self.session.checkpoints[self.name][0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if self.refused or isinstance(error, IllegalOperation | TransactionClosed):
            return False  # nothing has been undone
        gone = self.session.back(self.name)
        how = "Taken back, last first:" if error is None else "To be taken back, last first, where no undo has failed:"
        lines = [f"Back at checkpoint {self.name!r}. {how if gone else 'Nothing came after it.'}"]
        lines += [f"- {each.told}{' (not undone: it cannot be)' * each.explanation.destroys}" for each in gone]
        names = [step.name for step in self.session.face.report.left if step not in self.left]
        if error is not None:
            lines.append(f"An undo has failed, so everything is going to be rolled back in the end: {error}")
        elif names:
            lines.append(f"Not undone, and still there: {', '.join(names)}.")
        self.text = "\n".join(lines)
        return isinstance(error, RollbackFailed)  # not what has come in the middle of it, such as a cancellation


_sessions: WeakKeyDictionary[Face, Session] = WeakKeyDictionary()
_lock = Lock()


def session_of(q: Finder) -> Session:
    """The session of a transaction, made when it is first asked for.

    Raises:
        TypeError: if it is none, or what finds it has found none.
        IllegalOperation: if it has not been entered, or a step or a savepoint is open here.
    """
    try:
        found: Any = q if isinstance(q, Face) else q()
    except LookupError as error:  # of a `ContextVar` that has not been set
        raise NoTransaction("a tool", "enter the block of its session first, or let a middleware set it") from error
    if not isinstance(found, Face):
        raise TypeError(f"tools({q!r}, ...) was to find the transaction of a call, and has found {found!r:.80}")
    if found is not q and not found._block.awaits:
        raise TypeError(f"tools({q!r}, ...) has found {found!r:.80}, which has to be entered by `async with`")
    with _lock:
        session = _sessions.get(found)
        if session is None:
            found._must_be_open("tools()")
            session = _sessions[found] = Session(found._block)
        return session
