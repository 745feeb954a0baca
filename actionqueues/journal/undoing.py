"""Undoing later: a committed transaction is put into the state of one whose rollback has begun, and recovered.

All that can be wrong is looked for before: what is refused has changed nothing.  Then one commit says that it is being
rolled back, for whom and why, and that it is this process's.  From there it is as any other that is recovered: who dies
in it leaves it to the next recovery, which goes on with the same keys.

Stands on recovery, and on plans.  Used by `Journal`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from actionqueues.core.options import check_flag
from actionqueues.core.requests import Engine
from actionqueues.core.text import shown
from actionqueues.errors import AsyncActionInSyncBlock, IllegalOperation

from .damage import ANY_DAMAGE
from .inspecting import Entry, entry_of, has_only_conflicts
from .leftover import Recovered, called
from .planning import Committed, UndoPlan, plan_of
from .recording import JournalFile
from .recovery import Recovery
from .requested import UndoRequested

__all__ = ["Undoing", "undo_plan"]

#: As many problems are told in a refusal.
_MOST: Final = 20


def undo_plan(journal: JournalFile, transaction: int, *, chdir: bool) -> UndoPlan:
    """What undoing a transaction would do, as far as that can be told without making resources."""
    return plan_of(journal, _committed(journal, transaction), _StandIns(journal.values.resources), chdir=chdir)


class _StandIns(dict[str, Any]):
    """What stands for resources as long as none is made; it knows which of them are needed."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(names, "a resource"))
        self.needed: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        if name in self:
            self.needed.add(name)
        return super().get(name, default)


class Undoing(Recovery):
    """One undoing of what had committed.

    Args:
        journal: the journal.
        requested: who wants it, and why.
        partly: whether to leave what cannot be undone, and undo the rest.
        awaits: whether async handlers can be awaited.
        chdir: whether to undo each step in the directory that it was begun in.
    """

    def __init__(
        self, journal: JournalFile, requested: UndoRequested, *, partly: bool, awaits: bool, chdir: bool
    ) -> None:
        super().__init__(journal, awaits=awaits, chdir=chdir)
        check_flag("journal.undo(partly=...)", partly)
        self.requested = requested
        self.partly = partly

    def _recovering(self, only: Iterable[int]) -> Engine[list[Recovered]]:
        """Refuse what cannot be undone; otherwise put it where any recovery goes on, and do so."""
        (number,) = only
        resources = _StandIns(self.journal.values.resources)
        yield from called(lambda: self._check(number, resources))
        if resources.needed:
            yield from self.supplying(sorted(resources.needed))
            yield from called(lambda: self._check(number, self.made))
        yield from called(lambda: self._claim(number))
        return (yield from self.finishing())

    def _check(self, number: int, made: Mapping[str, Any]) -> None:
        self.store.catch_up()
        plan = plan_of(self.journal, _committed(self.journal, number), made, chdir=self.chdir)
        waiting = [each.name for each in plan.steps if each.is_async]
        if waiting and not self.awaits:
            where, way = "journal.undo()", f"await journal.undo_async({number})"
            raise AsyncActionInSyncBlock(f"the undo of {waiting[0]}", where, way)
        if plan.problems and not self.partly:
            what = f"this cannot be undone: {'; '.join(plan.problems[:_MOST])}"
            more = "" if len(plan.problems) <= _MOST else f"; … and {len(plan.problems) - _MOST} more, see undo_plan()"
            _refuse(self.journal, number, what + more, "to undo the rest all the same, say so: partly=True, --partly")

    def _claim(self, number: int) -> None:
        mine, taken = self.store.owner, self.taken
        row = (mine, shown(self.requested), self.requested.to_json(), number)

        def work(db: sqlite3.Connection) -> None:
            self.store.still_owned(mine)
            taken.clear()
            statement = "UPDATE transactions SET state = 'rolling back', ended = NULL, reason = NULL, owner = ?, "
            statement += "error = ?, requested = ? WHERE id = ? AND state = 'committed' AND ended IS NOT NULL"
            if db.execute(statement, row).rowcount:
                taken.append(number)
                self.store.recovering.add(number)

        self.store.write_guarded(work, sync=True)
        if not taken:  # somebody was quicker
            _committed(self.journal, number)


def _committed(journal: JournalFile, number: int) -> Committed:
    """The transaction, if it is one that has committed and ended.

    Raises:
        LookupError: if there is none of that number.
        IllegalOperation: if it is in another state.
    """
    store = journal.store
    columns = f"directory, plain_hooks, requested, {ANY_DAMAGE}"
    rows = store.read(f"SELECT {columns} FROM transactions WHERE id = ?", (number,))  # noqa: S608 - constants
    if not rows:
        query = "SELECT 1 FROM sqlite_sequence WHERE name = 'transactions' AND seq >= ? AND ? > 0"
        was = store.read(query, (number, number))
        what = " any more: it was pruned, as all that ended longer ago than Journal(keep=...)" if was else ""
        raise LookupError(f"journal {store.path!r}: there is no transaction {number}{what}")
    ((directory, plain_hooks, requested, damage),) = rows
    if damage is not None:
        _refuse(journal, number, f"it is damaged: {damage}", "mend that row first: sqlite3 FILE")
    entry = entry_of(store, number)
    if entry.state != "committed" or entry.ended is None:
        by = "" if requested is None else f", {UndoRequested.from_json(requested)}"
        _refuse(journal, number, *_why_not(journal, entry, by))
    return Committed(entry, directory, plain_hooks)


def _why_not(journal: JournalFile, entry: Entry, by: str) -> tuple[str, str]:
    """What is wrong with undoing what has not committed, or not ended; and what to do instead."""
    if entry.state == "undone later":
        return f"it was undone at {entry.ended} UTC{by}", "to have it again, call again what made it"
    if entry.state == "rolled back":
        return "it is rolled back", "nothing of it is left to be undone"
    if entry.live and entry.state == "committed":
        return "a live process is calling its commit hooks", "undo it once they have been called"
    if entry.live and by:
        return f"a live process is undoing it{by}", "nothing more is needed; if that process dies, recover it"
    if entry.live:
        who = "this process is running it" if entry.owner == journal.store.owner else "a live process is running it"
        return who, "raise an exception in its block to undo it, or wait until it has committed"
    if entry.state == "committed":
        return "durable hooks of it are still to be called", "recover it, or resolve these hooks, then undo it"
    if entry.state == "stuck":
        advice = (
            "recover it again once the reason is gone (journal.recover, actionqueues recover), or resolve its steps"
        )
        if has_only_conflicts(entry):
            advice = "a person decides: resolve its steps (journal.resolve, actionqueues resolve), or abandon it"
        return f"it is stuck{by}: {entry.reason}", advice
    return f"it is {entry.state}{by}, and nobody works on it any more", "recover it, which undoes it"


def _refuse(journal: JournalFile, number: int, state: str, advice: str) -> NoReturn:
    raise IllegalOperation(f"undo transaction {number} in {journal.store.path!r}", state, advice)
