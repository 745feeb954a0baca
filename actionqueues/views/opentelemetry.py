"""`instrument`: transactions as spans and metrics of OpenTelemetry, of which it needs the API alone.

Stands on the two listeners that make these.  Used by programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actionqueues.events import Event
from actionqueues.tracing.listening import METHODS, Listening

try:
    from opentelemetry import metrics, trace

    from .otel_metrics import Metrics, observe_stuck
    from .otel_spans import Spans
except ImportError as error:
    raise ImportError(
        "actionqueues.views.opentelemetry needs OpenTelemetry: pip install 'actionqueues[otel]'", name=error.name
    ) from error

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from actionqueues.journal import Journal

__all__ = ["instrument"]


class _Instrumented(Listening):
    """What `instrument` returns: stopped, it goes on until what is under way has ended, so that no span is lost."""

    __module__ = "actionqueues"

    __slots__ = ("_metrics", "_spans")

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._spans, self._metrics = Spans(tracer, self._idle), Metrics(meter)
        super().__init__(instrument, self._tell)

    def _tell(self, event: Event) -> None:
        name = METHODS[type(event)]
        for each in (self._metrics, self._spans):  # what is measured in a span may refer to it
            method = getattr(each, name, None)
            if method is not None:
                method(event)

    def _idle(self) -> None:
        if self._spans.stopping:
            super().stop()

    def stop(self) -> None:
        """Tell of no transaction that begins later."""
        self._spans.stopping = True
        if not self._spans.busy:
            super().stop()


def instrument(
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    *,
    journal: Journal | None = None,
) -> Listening:
    """Make spans and metrics of all transactions, classic queues and recoveries that begin from now on.

    There is a span ``transaction NAME`` or ``recovery NAME`` for each, ``step NAME`` for each step, in which its body
    runs, and ``undo NAME`` for each undo, in which its handler runs, with what they have raised.  A journal keeps what
    a transaction is called in its trace, so that the span of a recovery has a link to that of the dead process.
    Neither spans nor metrics tell arguments or results; what is raised is told with its text and its traceback.

    Args:
        tracer_provider: makes the tracer; the global one, if none is given.
        meter_provider: makes the meter, likewise.
        journal: a journal; what is stuck in it, or left by a dead process, is counted each time the metrics are read.

    Returns:
        A handle: ``stop()`` ends it, once what is under way has ended.
    """
    tracer = trace.get_tracer("actionqueues", tracer_provider=tracer_provider)
    meter = metrics.get_meter("actionqueues", meter_provider=meter_provider)
    listening = _Instrumented(tracer, meter)
    if journal is not None:
        observe_stuck(meter, journal, lambda: listening._spans.stopping)
    return listening
