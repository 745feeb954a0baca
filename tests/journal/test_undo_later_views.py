"""Every view knows what was undone later, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionqueues import listen
from actionqueues.journal import Journal
from actionqueues.views.counting import Counted
from tests.serve.visitor import TRANSACTIONS, serving

from . import actions
from .actions import failing
from .terminal import Terminal
from .test_watch_lines import told
from .undoings import committed
from .watched import watched


@pytest.fixture
def undone(path: Path) -> Journal:
    journal = committed(path, lambda q: actions.put("a"))
    journal.undo(1, by="ada", reason="wrong")
    return journal


WHY = "UndoRequested('by ada: wrong')"


def test_notebooks_list_it(undone: Journal) -> None:
    shown = undone._repr_mimebundle_()
    assert f"undone later  {undone.transactions()[0].started[:19]}  1      {WHY}" in shown["text/plain"]


def test_it_is_live_on_a_terminal(undone: Journal, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    def script(terminal: Terminal) -> None:
        terminal.shows("undone later", "UndoRequested")
        terminal.press("q")

    watched(monkeypatch, path, script)


def test_it_is_a_line_where_there_is_no_terminal_however_long_ago_it_had_committed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(path, lambda q: actions.put("a"))
    committed(path, lambda q: actions.put("b"))
    journal = committed(path, lambda q: actions.put("c"))
    journal.undo(1)
    failing["-d"] = OSError("not now")
    committed(path, lambda q: actions.put("d")).undo(4)
    with told(path, monkeypatch) as output:
        output.until("4 done: stuck")
        failing["-b"] = OSError("not now")
        journal.undo(2, by="ada", reason="wrong")
        output.until("2 done: stuck: tests.journal.actions:put: OSError('not now')")
        failing.clear()
        journal.recover(4)
        output.until("4 done: undone later")
        journal.recover()
        output.until(f"2 done: undone later: {WHY}")
        journal.undo(3, by="ada", reason="wrong")
        output.until(f"3 done: undone later: {WHY}")
    assert len(output.lines) == 5


def test_the_page_is_told_of_it_as_a_group_of_its_own(undone: Journal) -> None:
    with serving(undone) as visitor:
        (one,) = visitor.ask(TRANSACTIONS).data["transactions"]
    assert (one["group"], one["state"], one["why"]) == ("undone later", "undone later", WHY)


def test_progress_ends_with_it(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    counted = Counted(lambda: 1.0)
    with listen(counted):
        journal.undo(1)
    assert counted.result().startswith("done: undone later; ")


def test_metrics_count_it_apart(path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    from actionqueues.views.opentelemetry import instrument
    from tests.views.otel import Telemetry

    journal = committed(path, lambda q: actions.put("a"))
    made = Telemetry()
    with instrument(made.tracers, made.meters):
        journal.undo(1)
    assert made.metrics()["transactions"] == {"recovery undone later done": 1}
