"""`Journal`: what programs use of a journal file.

Stands on all the rest of the journal, and on the seam, which it gives a watch for each transaction.  Used by programs,
the command, and ``transaction(journal=...)``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Self
from weakref import WeakValueDictionary

from actionqueues.core.options import check_flag, known_options
from actionqueues.core.watch import SEAM

from . import ownership
from .errors import JournalError
from .every import RecoverEvery
from .files import real_path
from .inspecting import Entry, current_entries, entries, entry_of
from .leftover import Recovered
from .locks import Lock
from .numbers import number_of
from .planning import UndoPlan
from .recording import Recording
from .recovery import Recovery
from .reporting import Shown
from .requested import requested_by
from .resolving import abandon, prune, resolve, resolve_hook
from .serializer import Serializer
from .store import Store
from .undoing import Undoing, undo_plan
from .values import Values

__all__ = ["Journal", "set_default_journal", "shared_journal"]

_stores: WeakValueDictionary[str, Store] = WeakValueDictionary()
_journals: WeakValueDictionary[str, Journal] = WeakValueDictionary()
_shared: dict[str, Journal] = {}
_named: WeakValueDictionary[str, Journal] = WeakValueDictionary()  # by the relative path that was given
_mutex = Lock()

#: Each transaction whose number is a multiple of this, whichever process has made it, looks for what is to be pruned.
_EVERY: Final = 1000


class Journal:
    """A file that lets another process undo what a dead one has started.

    Give it to a transaction, ``transaction("sign-up", journal=journal)``, and every step is on disk before it runs.
    `recover` undoes what dead processes have left, and calls the durable hooks that they have not.  One journal serves
    any number of threads, event loops and processes; journals of the same path share their connection.

    Args:
        path: the file; made when it is first used, readable by its owner alone.  Beside it are SQLite's ``-wal`` and
            ``-shm``, and ``-owners``, which says which processes live.  A relative path is looked up now.
        resources: live objects, such as connections, that are never recorded: by the name of the parameter, a function
            without arguments that makes one again for recovery.  One made by `contextlib.contextmanager` is left again
            at the end of the recovery; what an undo does has to be done when the undo returns, and not only then, since
            it is recorded as undone.
        redact: names of what is kept out of the file: of parameters, ``*card`` and ``**card`` included, of saved
            values, of actions, whose results these are, and of fields in dicts, dataclasses and the like, at any depth.
            Nor do the texts of errors quote it; values of less than three characters are not looked for there.  A
            handler that asks for one, or for what has one in it, cannot be called by recovery.
        durability: ``"power"`` waits for the disk before each step, so that nothing is lost in a power cut either;
            ``"process"`` leaves that to the operating system, and survives the death of processes only.
        serializer: what turns values into JSON data and back; a `Serializer` that knows more types, say.
        recover_on_open: call `recover` at once.
        keep: for how long finished transactions stay in the file, which is looked at each thousandth time; None for
            ever.
        busy_timeout: for how many seconds to wait while another process has the file locked.

    Raises:
        ValueError: for another `durability`, a journal of the same path that has another one, or no name of a file.
        JournalError: on a system that cannot tell dead processes from live ones, or for a link to nothing.
    """

    __module__ = "actionqueues.journal"

    @known_options("Journal()")
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        resources: Mapping[str, Callable[[], Any]] | None = None,
        redact: Collection[str] = (),
        durability: Literal["power", "process"] = "power",
        serializer: Serializer | None = None,
        recover_on_open: bool = False,
        keep: timedelta | None = timedelta(days=30),
        busy_timeout: float = 10.0,
    ) -> None:
        if durability not in ("power", "process"):
            raise ValueError(f"Journal(durability=...) must be 'power' or 'process', not {durability!r}")
        if isinstance(redact, str):
            raise TypeError(f"Journal(redact=...) must be several names, such as ({redact!r},), not one text")
        name = os.fsdecode(path)
        if name in ("", ":memory:"):
            raise ValueError(f"Journal({path!r}): a journal outlives its process, so it takes the name of a file")
        self.path = real_path(name)
        if not ownership.SUPPORTED:
            raise JournalError(
                self.path,
                "this system has no locks that end with a process, so recovery could not tell the transactions of dead "
                "processes from those of live ones; run it on Linux, macOS, another Unix, or Windows",
            )
        self.keep = keep
        durable = durability == "power"
        with _mutex:
            store = _stores.get(self.path)
            if store is None:
                store = _stores[self.path] = Store(self.path, durable=durable, busy_timeout=busy_timeout)
            elif store.durable != durable:
                raise ValueError(f"journal {self.path!r}: this program uses it with another durability already")
            _journals[self.path] = _named[os.path.normpath(name)] = self
        self.store = store
        self.values = Values(self.path, serializer or Serializer(), dict(resources or {}), redact)
        if recover_on_open:
            self.recover()

    def intercept(self, block: Any) -> Recording:
        """What stands between a transaction and its steps."""
        return Recording(self, block.name, lambda: block.report)

    def open(self) -> Self:
        """Open the file now, which is done at the first use otherwise; return the journal.

        Raises:
            JournalError: if that is not possible.
        """
        self.store.open()
        return self

    def close(self) -> None:
        """Close the file, for all journals of this path.  It is opened again when it is used again.

        The end of a ``with`` block does that only if no transaction of this process is under way in the file.

        Raises:
            IllegalOperation: if there is one, or a recovery is at work.
        """
        self.store.close()
        with _mutex:
            for name in [name for name, journal in _named.items() if journal.path == self.path]:
                del _named[name]

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        if not self.store.busy:  # with those of other threads, for which it stays open
            self.close()

    def recover(self, *transactions: int, chdir: bool = False) -> list[Recovered]:
        """Undo what dead processes have left, and call the durable hooks that they have not called.

        Every step that was started is undone in reverse order, by its own handler and policy; one whose undo is
        recorded is not undone again.  What live processes are working on is not touched.  What cannot be undone is
        left as ``stuck``, and tried again the next time; everything else is done nevertheless.  Transactions that need
        an event loop are left to `recover_async`.

        Relative paths of a step that was begun in another working directory are not followed from this one: an undo
        that is given one is left as ``stuck``.  A `Path` is relative if it says so; a text counts as a path if
        something of that name, with or without an ending, or its folder, is there, seen from either directory.

        Args:
            transactions: the numbers of those to recover; all, if there are none.
            chdir: change to the directory that a step was begun in while it is undone, and back in the end; that is the
                directory of the whole process, other threads included.  Resources are made in the present one.

        Returns:
            What was done about each.

        Raises:
            JournalError: if the file cannot be used.
        """
        return Recovery(self, awaits=False, chdir=chdir).run([*map(number_of, transactions)])

    async def recover_async(self, *transactions: int, chdir: bool = False) -> list[Recovered]:
        """The same in an event loop, async handlers included."""
        return await Recovery(self, awaits=True, chdir=chdir).run_async([*map(number_of, transactions)])

    def recover_every(self, seconds: float | timedelta, *, chdir: bool = False) -> RecoverEvery:
        """Recover now, and again so many seconds after each round, until the end of a ``with`` block.

        ``with journal.recover_every(30):`` does it in a thread, ``async with journal.recover_every(30):`` in a task of
        asyncio or trio; async handlers are called in either, those of a thread in an event loop of its own.  Any number
        of them, in any number of processes, undo each step once.

        Nothing that is recovered ends it, `SystemExit` of a handler included: that is logged, and the next round tries
        it again.  What a round has logged, the next one does not log again.  At the end of the block, what is just
        being undone is finished, and nothing else is begun.

        Args:
            seconds: from the end of a round to the next one; more than 0.
            chdir: as of `recover`; in a program that does nothing else.

        Raises:
            ValueError: if that is no such time.
            IllegalOperation: from ``with``, if it has been entered before, or was made before this process was forked.

        Example:
            >>> with journal.recover_every(30):
            ...     serve()
        """
        return RecoverEvery(self, seconds, chdir=chdir)

    def undo(
        self,
        transaction: int,
        *,
        partly: bool = False,
        by: str | None = None,
        reason: str | None = None,
        chdir: bool = False,
    ) -> Recovered:
        """Undo a transaction that has committed, with what was recorded of it: arguments, results, saved data and keys.

        It is undone as by `recover`, in reverse order, each step by its own handler and policy, and is ``undone later``
        then, or ``stuck``.  Who dies in it, or is interrupted, leaves it to the next recovery, which goes on with the
        same keys.  Handlers are given `UndoRequested` as their `cause`.

        Whether later transactions build on what is undone is for the handlers to notice: they raise
        `RollbackConflict` then.  To have it again, call again what made it.

        Args:
            transaction: its number.
            partly: undo what can be undone, and leave the rest: what `undo_plan` calls its problems.
            by: who asks for it; the name of the user, if there is none.
            reason: why.
            chdir: as for `recover`.

        Returns:
            What was done about it.

        Raises:
            LookupError: if there is no such transaction, or no more.
            IllegalOperation: if it has not committed, somebody else is at it, or a part of it cannot be undone; nothing
                has been called then.
            AsyncActionInSyncBlock: if a handler is async: use `undo_async`.
            JournalError: if the file cannot be used.
        """
        undoing = Undoing(self, requested_by(by, reason), partly=partly, awaits=False, chdir=chdir)
        return undoing.run([number_of(transaction)])[0]

    async def undo_async(
        self,
        transaction: int,
        *,
        partly: bool = False,
        by: str | None = None,
        reason: str | None = None,
        chdir: bool = False,
    ) -> Recovered:
        """The same in an event loop, async handlers included."""
        undoing = Undoing(self, requested_by(by, reason), partly=partly, awaits=True, chdir=chdir)
        return (await undoing.run_async([number_of(transaction)]))[0]

    def undo_plan(self, transaction: int, *, chdir: bool = False) -> UndoPlan:
        """What `undo` would do, in that order, and what it could not; nothing is called, and no resource made.

        Raises:
            LookupError: as `undo` does.
            IllegalOperation: likewise, but for what cannot be undone.
        """
        return undo_plan(self, number_of(transaction), chdir=chdir)

    def transactions(self, *states: str) -> list[Entry]:
        """What is in the file: all transactions, or those in one of these states, the oldest first.

        Raises:
            ValueError: if there is no such state.
        """
        return entries(self.store, states)

    def show(self, transaction: int) -> Shown:
        """One transaction, with its steps and hooks; its ``report`` is that of the process that has run it.

        Raises:
            LookupError: if there is none of that number.
        """
        return Shown(*entry_of(self.store, number_of(transaction)))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What notebooks show: what has not ended, and what has ended last, each the newest first."""
        from actionqueues.views.listing import MOST, mimebundle  # here, because few programs are notebooks

        title, count, found = repr(self), 0, []
        try:
            if os.path.exists(self.path):  # to look at it makes no file
                count = self.store.read("SELECT count(*) FROM transactions")[0][0]
                found = current_entries(self.store, ended=MOST)
        except JournalError as error:
            title = f"{title} {error.reason}"
        return mimebundle(title, [entry.as_dict() for entry in found], count, include, exclude)

    def resolve(self, transaction: int, step: int, *, undone: bool) -> Entry:
        """Record a person's decision about a step of a stuck transaction.

        Args:
            transaction: its number.
            step: the number of the step.
            undone: True: it has been undone by hand, or never happened; False: it stays as it is.  Either way nothing
                more is done about it.

        Raises:
            LookupError: if there is no such step.
            IllegalOperation: if it is not to be decided, or a live process is working on it.
        """
        check_flag("journal.resolve(undone=...)", undone)
        resolve(self.store, number_of(transaction), number_of(step, "step"), undone=undone)
        return self.show(transaction)

    def resolve_hook(self, transaction: int, hook: int) -> Entry:
        """Record a person's decision that a durable hook need not be called any more."""
        resolve_hook(self.store, number_of(transaction), number_of(hook, "hook"))
        return self.show(transaction)

    def abandon(self, transaction: int, why: str = "decided by a person") -> Entry:
        """Record a person's decision that all that is left of a stuck transaction stays as it is.

        Each step that `resolve` would have to be told of counts as not undone; durable hooks that have not been called
        are not called any more.

        Args:
            transaction: its number.
            why: the reason, and by whom; it is kept with each step.

        Raises:
            LookupError: if there is no such transaction.
            IllegalOperation: if there is nothing to decide, or a recovery has not tried it, or a process works on it.
        """
        abandon(self.store, number_of(transaction), why)
        return self.show(transaction)

    def prune(self, older_than: timedelta | float = timedelta(0)) -> int:
        """Delete finished transactions that ended longer ago than that (seconds, if it is a number).

        Returns:
            How many.
        """
        age = older_than if isinstance(older_than, timedelta) else timedelta(seconds=older_than)
        return prune(self.store, _ago(age), self.store.write_guarded)

    def finished(self, transaction: int) -> None:
        """A transaction has ended: now and then, forget those that ended long ago.  Part of a `Call`."""
        if self.keep is not None and transaction % _EVERY == 0:
            try:
                prune(self.store, _ago(self.keep), self.store.write)
            except JournalError:
                pass  # the file says what is wrong with it when something has to be recorded

    def __repr__(self) -> str:
        return f"<Journal {self.path!r}>"


def _ago(age: timedelta) -> datetime:
    try:
        return datetime.now(UTC) - age
    except OverflowError:  # longer ago than there are dates: nothing has ended then
        return datetime.min


def shared_journal(path: object) -> Journal:
    """The journal of a path: the one that the program has made, or one with default options.

    A relative path means what it meant when it was first used, until that journal is closed: a program that changes
    its working directory goes on in the same file.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"transaction(journal=...) takes a Journal or the path of one, not {path!r}")
    name = os.fsdecode(path)
    journal = _named.get(os.path.normpath(name)) if name else None
    if journal is None:
        journal = _journals.get(real_path(name)) or Journal(name)
    with _mutex:
        _named[os.path.normpath(name)] = shared = _shared.setdefault(journal.path, journal)
        return shared


def set_default_journal(journal: Journal | str | os.PathLike[str] | None) -> None:
    """Let every transaction of this process that names none have this journal; None for no more of that."""
    made: Any = journal
    if journal is not None and not issubclass(type(journal), Journal):  # and not what `__class__` says: a mock
        made = shared_journal(journal)
    SEAM.attach(None if made is None else made.intercept)
