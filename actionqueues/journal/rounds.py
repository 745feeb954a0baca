"""Recovery in rounds: what is wrong with one transaction, or in one round, ends neither the round nor the next one.

Stands on recovery.  Used by `recover_every`, and by the command.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from actionqueues.core.text import log_error, shown
from actionqueues.errors import ActionQueuesError

from .leftover import Leftover, Recovered
from .recording import JournalFile
from .recovery import Recovery, Round

if TYPE_CHECKING:
    from logging import LogRecord

__all__ = ["Rounds", "recover_here"]


def recover_here(
    journal: JournalFile, only: Collection[int] = (), *, chdir: bool = False, part_of: Round | None = None
) -> list[Recovered]:
    """Recover, blocking this thread; what needs an event loop is given one."""
    done = Recovery(journal, awaits=False, chdir=chdir, part_of=part_of).run(only)
    waiting = [each.id for each in done if each.state == "waiting"]
    if waiting:
        import asyncio  # here, because most programs need none for that

        again = Recovery(journal, awaits=True, chdir=chdir, part_of=part_of)
        done = [*(each for each in done if each.state != "waiting"), *asyncio.run(again.run_async(waiting))]
    return done


class Rounds:
    """Recovers a journal again and again, and tells of the same thing once.

    Args:
        journal: the journal.
        chdir: whether to undo each step in the directory that it was begun in.
        ends: what ends it if it is raised.  All else was raised by a handler: that ends the recovery of its own
            transaction, which the next round tries again.

    Attributes:
        stopping: set it, and no further transaction is begun.
        problem: why the journal could not be recovered in the last round, or "".
    """

    def __init__(
        self, journal: JournalFile, *, chdir: bool = False, ends: tuple[type[BaseException], ...] = ()
    ) -> None:
        self.journal = journal
        self.chdir = chdir
        self.ends = ends
        self.stopping = False
        self.problem = ""
        self._said: set[object] = set()  # in this round, to the log
        self._said_before: set[object] = set()

    def run(self) -> list[Recovered]:
        """One round, blocking this thread."""
        done: list[Recovered] = []
        with self._round():
            done += recover_here(self.journal, chdir=self.chdir, part_of=self)
        return done

    async def run_async(self) -> list[Recovered]:
        """One round, suspending this task."""
        done: list[Recovered] = []
        with self._round():
            done += await Recovery(self.journal, awaits=True, chdir=self.chdir, part_of=self).run_async(())
        return done

    @contextmanager
    def _round(self) -> Generator[None, None, None]:
        import logging  # here, as where it is used

        logging.getLogger("actionqueues").addFilter(_is_news)  # once, however often
        self._said, self._said_before, self.problem = set(), self._said, ""
        token = _running.set(self)
        try:
            yield
        except BaseException as error:
            self._let_out(error)
            own = isinstance(error, ActionQueuesError)  # which says all by itself
            self.problem = str(error) if own else f"{self.journal} could not be recovered: {shown(error)}"
            log_error(self.problem, None if own else error)
        finally:
            _running.reset(token)

    def ended_by(self, leftover: Leftover, error: BaseException) -> Recovered:
        """What has become of one whose recovery was ended by this; or raise it, if it ends the run as well."""
        self._let_out(error, GeneratorExit)  # of a generator that is being closed: nothing can be begun in it
        reason = f"its recovery was ended by {shown(error)}"
        what = f"{self.journal}: transaction {leftover.tx}, {leftover.name!r}: {reason}; the next round tries it again"
        log_error(what, error, transaction=leftover.name, transaction_id=leftover.tx, state="stuck")
        return Recovered(leftover.tx, leftover.name, "stuck", reason, leftover.report)

    def _let_out(self, error: BaseException, *more: type[BaseException]) -> None:
        if isinstance(error, (*self.ends, *more)) and not _is_made_up(error):
            raise error

    def is_news(self, record: LogRecord) -> bool:
        """Whether the round before has not logged the same."""
        what = record.levelno, record.getMessage(), getattr(record, "transaction_id", None)
        self._said.add(what)
        return what not in self._said_before


def _is_made_up(error: BaseException) -> bool:
    """Whether it is a cancellation of asyncio's, and nobody has cancelled this task."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    return not asyncio.current_task().cancelling()


_running: ContextVar[Rounds | None] = ContextVar("actionqueues.journal.rounds", default=None)


def _is_news(record: LogRecord) -> bool:
    """A filter of the log: what is said in each round is said in the first."""
    rounds = _running.get()
    return rounds is None or rounds.is_news(record)
