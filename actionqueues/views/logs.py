"""`LogEvents`: a listener that writes what happens into the log, for ``listen(LogEvents())``.

It adds what is frequent to what is logged without any listener: that something was rolled back, left, or is tried
again, and that an undo has failed.  So nothing is told twice.

Stands on events, and on what the core logs.  Used by programs.
"""

from __future__ import annotations

import logging
from typing import Any

from actionqueues import events
from actionqueues.core.entries import StepReport
from actionqueues.core.text import FIELDS, counted, one_line, shown
from actionqueues.report import Report
from actionqueues.tracing.listening import METHODS

__all__ = ["LogEvents"]

#: What the library itself writes to.
_OWN: logging.Logger = logging.getLogger("actionqueues")


class LogEvents:
    """Logs what happens in transactions: DEBUG tells each step, INFO the story, and WARNING a problem.

    Each record has the fields `event_name`, `transaction`, `transaction_id`, `step`, `key`, `attempt`, `state` and
    `duration` (in seconds), None where there is nothing to tell, so that formats and filters may name them.  Arguments
    and results are in none of them.

    Args:
        logger: where to; the one that the library itself writes to, "actionqueues", if none is given.  Rollbacks and
            retries, which that tells, are told to another one too.

    ```python
    import logging

    from actionqueues import listen
    from actionqueues.views.logs import LogEvents

    logging.basicConfig(level=logging.DEBUG)
    listen(LogEvents())
    ```
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger or _OWN
        self._elsewhere = self.logger is not _OWN

    # -- the transaction

    def transaction_opened(self, event: events.TransactionOpened) -> None:
        """Log it at DEBUG."""
        self._log(logging.DEBUG, event, f"opened, a {event.report.kind}")

    def transaction_committed(self, event: events.TransactionCommitted) -> None:
        """Log it at INFO, with the number of its steps, and how long it has taken."""
        count = _count(event.report.steps)
        told = f"{counted(count)} step{'' if count == 1 else 's'}"
        if event.report.undone:
            told += f", {len(event.report.undone)} undone on the way"
        self._over(logging.INFO, event, told)

    def transaction_rolling_back(self, event: events.TransactionRollingBack) -> None:
        """Log it at DEBUG."""
        because = "" if event.error is None else f", because of {shown(event.error)}"
        self._log(logging.DEBUG, event, f"rolling back{because}")

    def transaction_rolled_back(self, event: events.TransactionRolledBack) -> None:
        """Log it at INFO, or at WARNING if something was left, unless the library does."""
        if not event.report.clean:
            self._not_clean(event)
        elif self._elsewhere:
            self._over(logging.INFO, event, f"{counted(len(event.report.undone))} undone{_because(event.report)}")

    def transaction_stuck(self, event: events.TransactionStuck) -> None:
        """Log it at WARNING, unless the library logs it; each undo that has failed is logged at ERROR by that."""
        self._not_clean(event)

    def _not_clean(self, event: events.Event) -> None:
        if self._elsewhere:
            undone, left = counted(len(event.report.undone)), counted(len(event.report.left))
            self._over(logging.WARNING, event, f"{undone} undone, {left} left{_because(event.report)}")

    def _over(self, level: int, event: events.Event, told: str) -> None:
        report = event.report
        known = {"duration": _since(report.started, event.at)}
        self._log(level, event, f"{report.state}: {told}", between=" ", **known)

    def hook_called(self, event: events.HookCalled) -> None:
        """Log it at DEBUG, or at WARNING if it has raised."""
        if event.error is None:
            self._log(logging.DEBUG, event, f"commit hook {event.name} called")
        else:
            self._log(logging.WARNING, event, f"commit hook {event.name} failed: {shown(event.error)}")

    # -- its steps

    def step_queued(self, event: events.StepQueued) -> None:
        """Log it at DEBUG."""
        self._log_step(logging.DEBUG, event, "queued")

    def step_started(self, event: events.StepStarted) -> None:
        """Log it at DEBUG."""
        self._log_step(logging.DEBUG, event, "started", 1)

    def step_retried(self, event: events.StepRetried) -> None:
        """Log it at INFO, unless the library does."""
        if self._elsewhere:
            because = "" if event.error is None else f", after {shown(event.error)}"
            self._log_step(logging.INFO, event, f"is tried again, for attempt {event.attempt}{because}", event.attempt)

    def step_done(self, event: events.StepDone) -> None:
        """Log it at DEBUG, with how long it has taken."""
        step = event.step
        self._log_step(logging.DEBUG, event, "done", step.attempts, _since(step.started, event.at))

    def step_failed(self, event: events.StepFailed) -> None:
        """Log it at INFO: whether that is a problem is for those to say who get what it has raised."""
        step = event.step
        told = f"failed: {shown(event.error)}"
        self._log_step(logging.INFO, event, told, step.attempts, _since(step.started, event.at))

    def step_undoing(self, event: events.StepUndoing) -> None:
        """Log it at DEBUG."""
        self._log_step(logging.DEBUG, event, "undoing", event.attempt)

    def step_undone(self, event: events.StepUndone) -> None:
        """Log it at DEBUG, with how long it has taken."""
        step = event.step
        self._log_step(logging.DEBUG, event, "undone", step.undo_attempts, _since(step.undo_started, event.at))

    # -- records

    def _log_step(
        self,
        level: int,
        event: events.StepEvent,
        told: str,
        attempt: int | None = None,
        duration: float | None = None,
    ) -> None:
        step = event.step
        state = step.state if step.undo in (None, "running") else step.undo
        known: dict[str, Any] = {
            "step": step.name,
            "key": step.key,
            "attempt": attempt,
            "state": str(state),
            "duration": duration,
        }
        self._log(level, event, f"{step.name} {told}", **known)

    def _log(self, level: int, event: events.Event, told: str, between: str = ": ", **known: Any) -> None:
        if not self.logger.isEnabledFor(level):
            return
        report = event.report
        extra: dict[str, Any] = {
            **dict.fromkeys(FIELDS),
            "event_name": METHODS[type(event)],
            "transaction": report.name,
        }
        extra |= {"transaction_id": report.id, "state": str(report.state), **known}
        self.logger.log(level, one_line(f"{report.name}{between}{told}"), extra=extra)


def _because(report: Report) -> str:
    return "" if report.error is None else f", because of {report.error}"


def _since(started: float | None, at: float) -> float | None:
    return None if started is None else at - started


def _count(steps: list[StepReport]) -> int:
    """How many steps there are, those in others included; a savepoint is none."""
    count, stack = 0, list(steps)
    while stack:
        step = stack.pop()
        count += step.kind != "savepoint"
        stack += step.contains
    return count
