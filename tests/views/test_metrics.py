"""Transactions as metrics of OpenTelemetry, with its real SDK."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actionqueues import RollbackConflict, transaction
from actionqueues.journal import Journal
from actionqueues.journal.checking import left_in, source_of
from actionqueues.views.opentelemetry import instrument
from tests.journal.actions import failing, put, trail
from tests.journal.leaving import edit, leave
from tests.world import AT_ONCE, Boom, World

from .otel import Telemetry


@pytest.fixture
def t() -> Iterator[Telemetry]:
    made = Telemetry()
    with instrument(made.tracers, made.meters):
        yield made


def test_what_has_ended_is_counted_and_measured_by_name_and_outcome(t: Telemetry) -> None:
    world = World()
    a = world.define("a")
    for _ in range(2):
        with transaction("order"):
            a()
    with pytest.raises(Boom), transaction("order"):
        a()
        world.define("flaky", retry=AT_ONCE, fails=[Boom(), Boom()])()
        world.define("mail", undo=False)()
        raise Boom
    with pytest.raises(Boom), transaction("order"):
        world.define("b", undo_fails=[OSError()])()
        world.define("c", undo_fails=[RollbackConflict("theirs")])()
        world.define("d", fails=[Boom()])()
    with transaction("other") as q:
        q.rollback()
    metrics = t.metrics()
    transactions = {
        "transaction committed order": 2,
        "transaction rolled back order": 1,
        "transaction stuck order": 1,
        "transaction rolled back other": 1,
    }
    steps = {"done a order": 3, "done flaky order": 1, "done mail order": 1, "done b order": 1, "done c order": 1}
    steps["failed d order Boom"] = 1
    undos = {"undone a order": 1, "undone flaky order": 1, "undo failed b order": 1, "conflict c order": 1}
    undos["undone d order"] = 1
    assert metrics == {
        "transactions": transactions,
        "transaction.duration": transactions,
        "rollbacks": {"order Boom": 2, "other": 1},
        "steps": steps,
        "step.duration": steps,
        "retries": {"flaky order Boom": 2},
        "undos": undos,
        "undo.duration": undos,
        "left": {"not undone mail order": 1, "undo failed b order OSError": 1, "conflict c order RollbackConflict": 1},
    }


def test_durations_are_in_seconds_and_never_negative(t: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    with transaction("order"):
        world.define("a")()
        monkeypatch.setattr("actionqueues.tracing.trace.time", lambda: time.time() - 3600)  # the clock is set back
    data = t.reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    durations = {metric.name: metric for metric in scope.metrics if metric.name.endswith("duration")}
    assert {metric.unit for metric in durations.values()} == {"s"}
    for metric in durations.values():
        point: Any = metric.data.data_points[0]
        assert 0 <= point.min < 60
        assert 0.005 in point.explicit_bounds


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_what_is_stuck_in_a_journal_is_looked_up_each_time(tmp_path: Path) -> None:
    path = tmp_path / "actions.db"
    trail.clear()
    made = Telemetry()
    with Journal(path) as journal:
        listening = instrument(made.tracers, made.meters, journal=journal)
        assert (made.metrics()["stuck"], made.metrics()["stuck.age"]) == ({str(path): 0}, {str(path): 0.0})
        journal.close()
        for name in "ab":
            leave(path, lambda _q, name=name: put(name))  # type: ignore[misc]
        failing["-a"] = failing["-b"] = Boom()
        try:
            journal.recover()
        finally:
            failing.clear()
        leave(path, lambda _: put("c"))
        assert made.metrics()["stuck"] == {str(path): len(left_in(source_of(journal.store)))} == {str(path): 3}
        journal.recover(3)
        assert made.metrics()["stuck"] == {str(path): 2}
        edit(path, "UPDATE transactions SET started = '2001-01-01 00:00:00.000' WHERE id = 1")
        edit(path, "UPDATE transactions SET started = 'long ago' WHERE id = 2")
        assert made.metrics()["stuck.age"][str(path)] > 20 * 365 * 86400
        listening.stop()
        assert "stuck" not in made.metrics()
        assert "stuck.age" not in made.metrics()
    assert made.metrics()["transactions"] == {"recovery stuck left": 2, "recovery rolled back left": 1}


def test_keys_numbers_and_arguments_are_no_attributes(t: Telemetry, tmp_path: Path) -> None:
    with Journal(tmp_path / "actions.db") as journal, transaction("order", journal=journal):
        put("no-4242-card")
    data = t.reader.get_metrics_data()
    assert data is not None
    attributes = {
        name
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        for name in point.attributes or {}
    }
    names = {"transaction.name", "step.name", "kind", "outcome"}
    assert attributes == {f"actionqueues.{name}" for name in names}
    assert "no-4242-card" not in data.to_json()
