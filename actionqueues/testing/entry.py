"""`sweep`: what users call to have a scenario swept.

Stands on `Sweep`.  Used by tests, and by the plugin for pytest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Required, TypedDict

from actionqueues.core.options import known_options
from actionqueues.core.step import Step

from .differences import Ignore
from .faults import ErrorSource
from .playing import Backend
from .snapshots import State
from .sweeping import Sweep

__all__ = ["SweepOptions", "sweep"]


class SweepOptions(TypedDict, total=False):
    """What `sweep` takes besides the scenario."""

    state: Required[State]
    reset: Callable[[], object] | None
    disturb: Callable[[Step[Any]], object] | None
    recover: Callable[[], object] | None
    faults: Iterable[str] | None
    ignore: Iterable[Ignore]
    error: ErrorSource
    only: Iterable[str] | None
    backend: Backend


@known_options("sweep()")
def sweep(
    scenario: Callable[[], object],
    *,
    state: State,
    reset: Callable[[], object] | None = None,
    disturb: Callable[[Step[Any]], object] | None = None,
    recover: Callable[[], object] | None = None,
    faults: Iterable[str] | None = None,
    ignore: Iterable[Ignore] = (),
    error: ErrorSource = None,
    only: Iterable[str] | None = None,
    backend: Backend = "asyncio",
) -> Sweep:
    """Run a scenario under every fault at every step; each run must leave the world as it was.

    For ``taken``, somebody else calls the action with the same arguments before each step, under another key, in a
    transaction of its own that is undone in the end; what that has made must stay.  A step that is called with the
    result of an earlier one is left out, as nobody else has that; `Sweep.untried` says so.

    Iterate over what it returns for the outcomes, one a trial, or call its `check`.  The scenario is run many times,
    and undone each time but the last: what it opens itself it has to close.  Retries do not wait meanwhile.

    Args:
        scenario: a function without arguments, sync or async, that makes one transaction, or executes one queue and
            rolls it back if that fails.
        state: takes a picture of the world: any function, such as `directory`, `database` and `memory` make, or a dict
            of them by name.
        reset: puts the world back as it was before the sweep.  With it the sweep goes on after a leak, and commit hooks
            and crashes after the commit are tried as well.
        disturb: is given a step, and changes what that has made as somebody else would; for ``stale``, and for
            ``taken``, where the step is that of somebody else.  It may return a function that takes that back.  If it
            changes nothing, ``stale`` is left out.
        recover: undoes what a killed process has left, in a fresh process; for ``crash``.
        faults: which kinds, of ``before``, ``after``, ``interrupt``, ``cancel``, ``commit``, ``undo``, ``twice``,
            ``stale``, ``taken``, ``crash`` and ``hook``; all of them by default.  One with a minus is left out:
            ``["-taken"]`` is all but that.
        ignore: what may differ: names or dotted names with wildcards, such as ``"updated_at"`` or
            ``"db.users.*.seen"``, or predicates of a path.
        error: what is raised in place of a step: an exception class, or a function of the step.  By default an error
            that the step's retry policy takes for worth another attempt.
        only: the ids of the trials to be run, and no others.
        backend: what runs an async scenario: ``"asyncio"``, ``"trio"``, or a function that is given its coroutine;
            after a `KeyboardInterrupt` that has to cancel what is left in its loop, as `asyncio.run` does.

    Raises:
        SweepError: while it is done, if nothing can be injected or compared, the scenario fails by itself, `reset` does
            not put the world back, or `disturb` raises.
        TypeError, ValueError: for arguments that make no sense.
    """
    return Sweep(
        scenario,
        state=state,
        reset=reset,
        disturb=disturb,
        recover=recover,
        faults=faults,
        ignore=ignore,
        error=error,
        only=only,
        backend=backend,
    )
