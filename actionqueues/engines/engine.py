"""`Engine` and `Run`: what an engine of durable execution does for a block; and `Unit`, what it is given to run.

An adapter is a class with `Engine.begin`, and one whose objects serve one block each.  Everything else, such as
retries, the order of undoing, savepoints, keys and what is carried as text, is done once for all of them.

Stands on nothing.  Used by `running.py`, and by the adapters.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Literal, Protocol

__all__ = ["Engine", "Kind", "Run", "Unit"]

#: What a unit is: an attempt of a step, of an undo, or of the probe of a step; a commit hook; or a note in the records
#: of the engine, that the block is about to be rolled back or to commit.
Kind = Literal["step", "undo", "probe", "hook", "rolling back", "committing"]


class Unit(Protocol):
    """One piece of work, which the engine runs and records once.

    Attributes:
        kind: what it is.
        name: what operators see, such as ``charge`` or ``undo charge``; the same in each execution of the workflow.
        number: counts the units of a block, from 1 on, in order of start: the same in each execution of the workflow.
        key: an idempotency key of this unit.
        is_async: whether it has to be awaited: `perform_async`, and not `perform`.
        ran: whether it has been run in this process, and was not taken from the records.
        late: set by an engine that raises `asyncio.CancelledError` to what came of the work all the same, if anything
            did.  A step that was done is undone at once then, with its result.
    """

    kind: Kind
    name: str
    number: int
    key: str
    is_async: bool
    ran: bool
    late: str | None

    @property
    def is_action(self) -> bool:
        """Whether it is of an action, and not of a plain function: its name then says what it does anywhere."""
        ...

    def perform(self) -> str:
        """Run it here; returns what came of it, as text, which is all that the engine has to record.

        What it raises, unlike what the work of the user raises, is no failure of the work: the process is ending.
        """
        ...

    async def perform_async(self) -> str:
        """The same of async work.  It may be cancelled: then it returns a text that says so, to be recorded as well."""
        ...

    def request(self) -> str:
        """It as text, for engines that run it in another process: see `serving.serve`."""
        ...

    def cancelled(self, reason: str | None, *, maybe_done: bool = False) -> str:
        """What to record instead of running a step, or of committing, because somebody has asked for a cancellation.

        A step has not been started then, unless it is `maybe_done`, as in a workflow that is executed again after its
        process has died, perhaps in the middle of this step.
        """
        ...

    def failed(self, error: BaseException, moment: float) -> str:
        """What came of a unit that the engine could not bring to its end, at a time; whether it was done is unknown."""
        ...


class Run(Protocol):
    """Serves one outermost block in one execution of a workflow.

    Attributes:
        key: identifies the run of the workflow: the same in each execution of it, and that of no other run.
        awaits: whether `run` and `sleep` have to be awaited, whatever is run.
        carries: whether units are run in other processes, so that calls have to be plain data, and functions to be
            found there.

    Two more may be there.  ``replays``: whether what happens now has happened in an execution before, so that listeners
    are not told again.  ``is_elsewhere()``: whether the code that calls it is not that of this block's workflow, but of
    another one, as a child, so that a block with an engine is one of its own there.
    """

    key: str
    awaits: bool
    carries: bool

    def refuse(self, what: str) -> None:
        """Raise, if `what` cannot be run here, as in a thread that the engine knows nothing of."""
        ...

    def run(self, unit: Unit) -> str | Awaitable[str]:
        """Run a unit and record the text that it returns, or give the text that was recorded in an earlier execution.

        An awaitable of that, if `awaits` is set or the unit is async.  Whatever this raises is control flow of the
        engine, which ends the execution without any undo; but for `RolledBackBefore`, if the records show that the
        block was being rolled back at this point, and `asyncio.CancelledError`, where the work is being cancelled.
        """
        ...

    def pause(self, seconds: float) -> None:
        """Wait, so that an execution after this one waits for what is left of it."""
        ...

    def sleep(self, seconds: float) -> Awaitable[None]:
        """The same where it can be awaited: in an async block, but for a sync step that is called in it."""
        ...

    def is_control_flow(self, error: BaseException) -> bool:
        """Whether an error, wherever it was raised, is the engine's own control flow, and no failure of the work."""
        ...

    def show(self, state: str) -> None:
        """Show an operator how far the block is, if that costs nothing to speak of."""
        ...


class Engine(Protocol):
    """Where the steps of a block run.  Given to it: ``transaction("sign-up", engine=...)``; two equal ones are one.

    Three more attributes may be there.  ``serializer``: a `Serializer` of the program's own.  ``resources``: parameters
    whose values are not carried, but made where a call is run, by name.  ``longest``: how many bytes a call, or what
    comes of one, may take.
    """

    @property
    def name(self) -> str:
        """What messages call it, such as ``DBOS``."""
        ...

    def begin(self, block: Any, *, awaits: bool) -> Run:
        """A block is about to be entered, by ``async with`` if it `awaits`.

        Raises:
            IllegalOperation: if it cannot run here, as outside a workflow.
        """
        ...
