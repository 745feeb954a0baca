"""Transactions as spans of OpenTelemetry: a listener.

A span is current in the context in which its code runs, and travels from there as OpenTelemetry's context does.  What
runs elsewhere, in a thread that was given no context, has the span of what it belongs to as its parent nevertheless.

Stands on events.  Used by `instrument`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from weakref import WeakKeyDictionary

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from actionqueues import events
from actionqueues.core.entries import StepReport
from actionqueues.core.text import one_line, shown
from actionqueues.report import Report

__all__ = ["Spans"]

_TRACE_CONTEXT = TraceContextTextMapPropagator()


class _Scope:
    """A span, where it belongs, and the context that it is current in, and what was current before."""

    __slots__ = ("before", "over", "run", "span")

    def __init__(self, run: _Run, span: Span) -> None:
        self.run, self.span, self.over = run, span, False
        self.before: Context | None = None


class _Run:
    """The spans of one transaction."""

    def __init__(self) -> None:
        self.scope: _Scope
        self.steps: dict[StepReport, _Scope] = {}
        self.undos: dict[StepReport, _Scope] = {}
        self.began: dict[StepReport, SpanContext] = {}  # of steps whose spans have ended


class Spans:
    """Makes a span of each transaction, of each of its steps, and of each undo.

    Args:
        tracer: makes them.
        idle: is called whenever the last of those that are under way has ended.

    Attributes:
        stopping: whether no more transactions are begun.
    """

    def __init__(self, tracer: Tracer, idle: Callable[[], object]) -> None:
        self.tracer, self.idle = tracer, idle
        self.stopping = False
        self._key = context.create_key("actionqueues")  # where a context has the innermost of these spans
        self._runs: WeakKeyDictionary[Report, _Run] = WeakKeyDictionary()
        self._ended: WeakKeyDictionary[Report, _Run] = (
            WeakKeyDictionary()
        )  # of classic queues, which may be rolled back

    @property
    def busy(self) -> bool:
        """Whether a transaction is under way."""
        return len(self._runs) > 0

    # -- the transaction

    def transaction_opened(self, event: events.TransactionOpened) -> None:
        """Begin its span: that of a recovery has a link to what the dead process has left."""
        if not self.stopping:
            report = event.report
            recovers = report.kind == "recovery"
            self._open(report, [_origin_of(report)] if recovers else [])
            if not recovers and report.origin is None:
                report.origin = _traceparent(self._runs[report].scope.span)

    def _open(self, report: Report, links: Sequence[SpanContext | None]) -> None:
        run = self._runs[report] = _Run()
        kind = "recovery" if report.kind == "recovery" else "transaction"
        known = {"actionqueues.transaction.name": one_line(report.name), "actionqueues.kind": report.kind}
        # A queue that has failed may never be rolled back: its span is current nowhere, so nobody has to end that.
        run.scope = self._begin(run, f"{kind} {report.name}", None, known, links, is_current=report.kind != "queue")

    def transaction_rolling_back(self, event: events.TransactionRollingBack) -> None:
        """Say why."""
        report = event.report
        run = self._runs.get(report)
        executed = self._ended.pop(report, None)
        if executed is not None and not self.stopping:
            self._open(report, [executed.scope.span.get_span_context()])
            run = self._runs[report]
            run.began = executed.began
        if run is not None:
            run.scope.span.add_event("rolling back")
            if event.error is not None:
                _fail(run.scope.span, event.error)

    def transaction_stuck(self, event: events.TransactionStuck) -> None:
        """Say that an undo has failed."""
        run = self._runs.get(event.report)
        if run is not None:
            run.scope.span.set_status(Status(StatusCode.ERROR, one_line(event.report.summary)))

    def hook_called(self, event: events.HookCalled) -> None:
        """Say that a commit hook was called."""
        run = self._runs.get(event.report)
        if run is not None:
            run.scope.span.add_event("commit hook", {"actionqueues.hook": one_line(event.name)})
            if event.error is not None:
                _record(run.scope.span, event.error)

    def transaction_ended(self, event: events.TransactionEnded) -> None:
        """End its span, and what is left of those in it, as where an interrupt has kept a step from being told of."""
        self._close(event.report)

    def _close(self, report: Report) -> None:
        run = self._runs.pop(report, None)
        if run is None:
            return
        for step, scope in [*run.undos.items(), *run.steps.items()]:
            scope.span.set_attributes(_told_of(step))
            self._end(scope)
        span = run.scope.span
        span.set_attribute("actionqueues.state", str(report.state))
        span.set_attribute("actionqueues.undone", len(report.undone))
        span.set_attribute("actionqueues.left", len(report.left))
        if report.id is not None:
            span.set_attribute("actionqueues.transaction.id", report.id)
        if report.kind == "queue":
            self._ended[report] = run
        self._end(run.scope)
        if not self.busy:
            self.idle()

    # -- its steps

    def step_started(self, event: events.StepStarted) -> None:
        """Begin its span, in which its body runs."""
        run, step = self._runs.get(event.report), event.step
        if run is not None:
            run.steps[step] = self._begin(run, f"step {step.name}", _around(run, step), _named(event))

    def step_retried(self, event: events.StepRetried) -> None:
        """Say that it is tried again, and why."""
        scope = self._scope_of(event)
        if scope is not None and event.error is not None:
            _record(scope.span, event.error, {"actionqueues.attempt": event.attempt - 1})
            scope.span.add_event("retry", {"actionqueues.attempt": event.attempt})

    def step_done(self, event: events.StepDone) -> None:
        """End its span."""
        self._end_step(event, None)

    def step_failed(self, event: events.StepFailed) -> None:
        """End its span, with what it has raised; of a queue, that is the end of its execution."""
        self._end_step(event, event.error)
        run = self._runs.get(event.report)
        if run is not None and event.report.kind == "queue" and event.step.parent is None:
            _fail(run.scope.span, event.error)
            self._close(event.report)

    def _scope_of(self, event: events.StepEvent) -> _Scope | None:
        run = self._runs.get(event.report)
        return None if run is None else run.steps.get(event.step)

    def _end_step(self, event: events.StepEvent, error: BaseException | None) -> None:
        run, step = self._runs.get(event.report), event.step
        scope = None if run is None else run.steps.pop(step, None)
        if run is not None and scope is not None:  # otherwise it was done by hand
            run.began[step] = scope.span.get_span_context()
            scope.span.set_attributes(_told_of(step))
            if error is not None:
                _fail(scope.span, error)
            self._end(scope)

    # -- its undo

    def step_undoing(self, event: events.StepUndoing) -> None:
        """Begin the span of its undo, in which the handler runs, or say that it is tried again."""
        run, step = self._runs.get(event.report), event.step
        if run is None:
            return
        scope = run.undos.get(step)
        if scope is None:
            links = [run.began.get(step)]
            run.undos[step] = self._begin(run, f"undo {step.name}", run.scope, _named(event), links)
        else:
            scope.span.add_event("retry", {"actionqueues.attempt": event.attempt})

    def step_undone(self, event: events.StepUndone) -> None:
        """End the span of its undo."""
        self._end_undo(event, None)

    def step_left(self, event: events.StepLeft) -> None:
        """End the span of its undo, with what that has raised; without one, the transaction's says that it was left."""
        if not self._end_undo(event, event.error):
            run = self._runs.get(event.report)
            if run is not None:
                known = {"actionqueues.step.name": one_line(event.step.name), "actionqueues.reason": event.reason}
                run.scope.span.add_event("left", known)

    def _end_undo(self, event: events.StepEvent, error: BaseException | None) -> bool:
        run, step = self._runs.get(event.report), event.step
        scope = None if run is None else run.undos.pop(step, None)
        if scope is None:
            return False
        scope.span.set_attributes({**_told_of(step), "actionqueues.attempts": step.undo_attempts})
        scope.span.set_attribute("actionqueues.state", str(step.undo))
        if error is not None:
            _fail(scope.span, error)
        self._end(scope)
        return True

    # -- spans

    def _begin(
        self,
        run: _Run,
        name: str,
        parent: _Scope | None,
        attributes: Mapping[str, str],
        links: Sequence[SpanContext | None] = (),
        *,
        is_current: bool = True,
    ) -> _Scope:
        """Begin a span, and make it current here."""
        here = around = self._here()
        inner = context.get_value(self._key, here)
        if parent is not None and not (isinstance(inner, _Scope) and inner.run is run):
            around = trace.set_span_in_context(parent.span, here)  # its context has not come along
        linked = [Link(each) for each in links if each is not None]
        scope = _Scope(run, self.tracer.start_span(one_line(name), around, attributes=attributes, links=linked))
        if is_current:
            scope.before = here
            context.attach(context.set_value(self._key, scope, trace.set_span_in_context(scope.span, around)))
        return scope

    def _here(self) -> Context:
        """The current context; not that of one of these spans that has ended elsewhere."""
        here = context.get_current()
        scope = context.get_value(self._key, here)
        while isinstance(scope, _Scope) and scope.over and trace.get_current_span(here) is scope.span:
            here = scope.before or Context()
            scope = context.get_value(self._key, here)
        return here

    def _end(self, scope: _Scope) -> None:
        """End a span, and make current again what was so before it, if this is where it is.

        Not by `context.detach`, which logs an error where it is another context.
        """
        scope.over = True
        if context.get_value(self._key) is scope and scope.before is not None:
            context.attach(scope.before)
        scope.span.end()


def _around(run: _Run, step: StepReport) -> _Scope:
    """What a step is contained in: another one, or the transaction."""
    parent = step.parent
    while parent is not None and parent not in run.steps:
        parent = parent.parent
    return run.scope if parent is None else run.steps[parent]


def _named(event: events.StepEvent) -> dict[str, str]:
    names = {"transaction": event.report.name, "step": event.step.name}
    return {f"actionqueues.{what}.name": one_line(name) for what, name in names.items()}


def _told_of(step: StepReport) -> dict[str, str | int]:
    """What is known of a step once it is over; never its arguments."""
    known: dict[str, str | int] = {"actionqueues.attempts": step.attempts, "actionqueues.state": str(step.state)}
    return known if step.key is None else {**known, "actionqueues.key": step.key}


def _fail(span: Span, error: BaseException) -> None:
    _record(span, error)
    span.set_status(Status(StatusCode.ERROR, one_line(shown(error))))


def _record(span: Span, error: BaseException, attributes: Mapping[str, int] | None = None) -> None:
    try:
        span.record_exception(error, attributes)
    except Exception:  # of a `__str__` of the program's
        told = {"exception.type": type(error).__qualname__, "exception.message": one_line(shown(error))}
        span.add_event("exception", {**told, **(attributes or {})})


def _traceparent(span: Span) -> str | None:
    """What the W3C calls it, for other processes."""
    carrier: dict[str, str] = {}
    _TRACE_CONTEXT.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def _origin_of(report: Report) -> SpanContext | None:
    """The span of the dead process that has begun it."""
    if report.origin is None:
        return None
    found = trace.get_current_span(_TRACE_CONTEXT.extract({"traceparent": report.origin}, Context()))
    return found.get_span_context() if found.get_span_context().is_valid else None
