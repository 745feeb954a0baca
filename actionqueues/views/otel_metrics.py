"""Transactions as metrics of OpenTelemetry: a listener.

Attributes are the names of transactions and steps, and what became of them, of which there are few; keys, numbers and
arguments are none.

Stands on events, and on a journal where one is given.  Used by `instrument`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

from actionqueues import events
from actionqueues.core.text import one_line

if TYPE_CHECKING:
    from actionqueues.journal import Journal
    from actionqueues.journal.checking import Left

__all__ = ["Metrics", "observe_stuck"]

#: Limits of histograms of durations, in seconds: those that OpenTelemetry advises for HTTP, and up to an hour.
_SECONDS: Sequence[float] = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 3600
)  # fmt: skip


class Metrics:
    """Counts transactions, steps, retries, undos and what was left, and measures how long they take."""

    def __init__(self, meter: Meter) -> None:
        def counter(what: str, unit: str, description: str) -> Counter:
            return meter.create_counter(f"actionqueues.{what}", f"{{{unit}}}", description)

        def histogram(what: str, description: str) -> Histogram:
            name = f"actionqueues.{what}.duration"
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS)

        self.transactions = counter("transactions", "transaction", "Transactions that have ended, by outcome.")
        self.rollbacks = counter("rollbacks", "transaction", "Transactions that were rolled back, by what was raised.")
        self.steps = counter("steps", "step", "Steps that have ended, by outcome.")
        self.retries = counter("retries", "attempt", "Further attempts of steps.")
        self.undos = counter("undos", "step", "Undos that have ended, by outcome.")
        self.left = counter("left", "step", "Steps that a rollback had to leave, by what became of their undo.")
        self.transaction_duration = histogram("transaction", "How long transactions take, their rollback included.")
        self.step_duration = histogram("step", "How long the bodies of steps take, all their attempts included.")
        self.undo_duration = histogram("undo", "How long undos take, all their attempts included.")

    # -- the transaction

    def transaction_committed(self, event: events.TransactionCommitted) -> None:
        """Count it."""
        self._over(event, "committed")

    def transaction_rolled_back(self, event: events.TransactionRolledBack) -> None:
        """Count it, and why."""
        later = event.report.state == "undone later"
        self._over(event, "undone later" if later else "rolled back")
        self._rolled_back(event, event.error)

    def transaction_stuck(self, event: events.TransactionStuck) -> None:
        """Count it, and why it was rolled back."""
        self._over(event, "stuck")
        self._rolled_back(event, event.error)

    def _over(self, event: events.Event, outcome: str) -> None:
        known = {**_named(event), "actionqueues.kind": event.report.kind, "actionqueues.outcome": outcome}
        self.transactions.add(1, known)
        _measure(self.transaction_duration, event.report.started, event.at, known)

    def _rolled_back(self, event: events.Event, error: BaseException | None) -> None:
        self.rollbacks.add(1, {**_named(event), **_type_of(error)})

    # -- its steps

    def step_retried(self, event: events.StepRetried) -> None:
        """Count it."""
        self.retries.add(1, {**_named(event), **_type_of(event.error)})

    def step_done(self, event: events.StepDone) -> None:
        """Count it."""
        self._step(event, {"actionqueues.outcome": "done"})

    def step_failed(self, event: events.StepFailed) -> None:
        """Count it, and what it has raised."""
        self._step(event, {"actionqueues.outcome": str(event.step.state), **_type_of(event.error)})

    def _step(self, event: events.StepEvent, outcome: dict[str, str]) -> None:
        known = {**_named(event), **outcome}
        self.steps.add(1, known)
        _measure(self.step_duration, event.step.started, event.at, known)

    def step_undone(self, event: events.StepUndone) -> None:
        """Count it."""
        self._undo(event)

    def step_left(self, event: events.StepLeft) -> None:
        """Count it; it is an undo as well, if its handler was called."""
        self.left.add(1, {**_named(event), "actionqueues.outcome": str(event.step.undo), **_type_of(event.error)})
        if event.step.undo_started is not None:
            self._undo(event)

    def _undo(self, event: events.StepEvent) -> None:
        known = {**_named(event), "actionqueues.outcome": str(event.step.undo)}
        self.undos.add(1, known)
        _measure(self.undo_duration, event.step.undo_started, event.at, known)


def _measure(histogram: Histogram, started: float | None, ended: float, known: dict[str, str]) -> None:
    if started is not None:  # pragma: no branch - it has begun while somebody has watched
        histogram.record(max(0.0, ended - started), known)  # the clock may have been set back


def _named(event: events.Event) -> dict[str, str]:
    names = {"transaction": event.report.name}
    if isinstance(event, events.StepEvent):
        names["step"] = event.step.name
    return {f"actionqueues.{what}.name": one_line(name) for what, name in names.items()}


def _type_of(error: BaseException | None) -> dict[str, str]:
    return {} if error is None else {"error.type": type(error).__qualname__}


def observe_stuck(meter: Meter, journal: Journal, stopped: Callable[[], bool]) -> None:
    """Observe how many transactions of a journal nobody brings to their end, and the age of the oldest."""
    where = {"actionqueues.journal": one_line(journal.path)}

    def count(_: CallbackOptions) -> Iterable[Observation]:
        return [] if stopped() else [Observation(len(_left(journal)), where)]

    def age(_: CallbackOptions) -> Iterable[Observation]:
        if stopped():
            return []
        return [Observation(max((each.age or 0.0 for each in _left(journal)), default=0.0), where)]

    told = "Transactions that are stuck, or that no process works on: what `actionqueues check` counts."
    meter.create_observable_gauge("actionqueues.stuck", [count], "{transaction}", told)
    told = "The time since the oldest of those that are stuck has begun."
    meter.create_observable_gauge("actionqueues.stuck.age", [age], "s", told)


def _left(journal: Journal) -> list[Left]:
    from actionqueues.journal.checking import left_in  # here, because it needs sqlite3

    return left_in(journal.store)
