"""What the tests of spans and metrics share: real providers that keep all in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

__all__ = ["Telemetry"]


class _Counting(SpanProcessor):
    """Counts the spans that begin."""

    def __init__(self) -> None:
        self.begun = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.begun += 1


class Telemetry:
    """A tracer and a meter, and what they were told."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter, self.counting, self.reader = InMemorySpanExporter(), _Counting(), InMemoryMetricReader()
        self.tracers = TracerProvider(sampler=sampler)
        self.tracers.add_span_processor(self.counting)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("the program")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Those that have ended."""
        return self.exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        """The only one of that name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def tree(self) -> list[str]:
        """All spans, each below its parent, in the order in which they began, indented."""
        lines: list[str] = []
        spans = sorted(self.spans, key=lambda span: span.start_time or 0)
        ids = {span.context.span_id for span in spans if span.context}

        def show(span: ReadableSpan, depth: int) -> None:
            lines.append("  " * depth + span.name)
            for each in spans:
                if each.parent and span.context and each.parent.span_id == span.context.span_id:
                    show(each, depth + 1)

        for span in spans:
            if span.parent is None or span.parent.span_id not in ids:
                show(span, 0)
        return lines

    def links(self, span: ReadableSpan) -> list[str]:
        """The names of the spans that it has links to."""
        names = {each.context.span_id: each.name for each in self.spans if each.context}
        return [names[link.context.span_id] for link in span.links]

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The values of all metrics, by name, and by the values of their attributes."""
        found: dict[str, dict[str, Any]] = {}
        data: Any = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        of = " ".join(str(value) for _, value in sorted(point.attributes.items()))
                        value = point.value if hasattr(point, "value") else point.count
                        found.setdefault(metric.name.removeprefix("actionqueues."), {})[of] = value
        return found
