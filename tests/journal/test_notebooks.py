"""What a notebook shows of a journal, and of a recovery."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal
from actionqueues.journal.inspecting import current_entries

from .actions import failing, put
from .leaving import edit, leave, recovered


def shown(path: Path) -> list[str]:
    bundle = Journal(path)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    return bundle["text/plain"].splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_what_has_not_ended_stands_before_what_has_each_the_newest_first(path: Path) -> None:
    with transaction("first", journal=path):
        put("a")
    failing["-b"] = OSError("later")
    leave(path, lambda q: put("b"))
    assert recovered(path).state == "stuck"
    with transaction("last <b>", journal=path):
        put("c")
    title, head, *rows = shown(path)
    assert title == f"<Journal {str(path)!r}>"
    assert head.split() == ["id", "name", "state", "started", "steps", "why"]
    assert [row.split()[:2] for row in rows] == [["2", "left"], ["3", "last"], ["1", "first"]]
    html = Journal(path)._repr_mimebundle_(include=["text/html"])["text/html"]
    assert "<td>last &lt;b&gt;</td>" in html
    assert "later" in html
    more = "WITH RECURSIVE n (n) AS (SELECT 1 UNION SELECT n + 1 FROM n LIMIT 60) "
    row = "INSERT INTO transactions (name, state, started, ended) SELECT 'x', 'committed', '2001', '2001' FROM n"
    edit(path, more + row)
    assert shown(path)[2].split()[:2] == ["2", "left"]
    assert (len(shown(path)), shown(path)[-1]) == (53, "… and 13 more")
    assert "<p>… and 13 more</p>" in Journal(path)._repr_mimebundle_(exclude=["text/plain"])["text/html"]


def test_to_look_at_a_journal_that_is_not_there_makes_none(path: Path) -> None:
    assert len(shown(path)) == 2
    assert not path.exists()


def test_a_broken_file_is_told_and_nothing_is_raised(path: Path) -> None:
    path.write_text("no journal")
    assert "is no SQLite file, or was cut off after 10 bytes" in shown(path)[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_a_recovery_is_shown_as_its_report_is(path: Path) -> None:
    leave(path, lambda q: put("b"))
    one = recovered(path)
    bundle = one._repr_mimebundle_()
    assert bundle == one.report._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/svg+xml"}
    assert "put" in bundle["text/plain"]


def test_what_is_looked_at_often_is_found_without_reading_all_that_has_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path).open()
    read, scanned = journal.store.read, list[str]()

    def explained(statement: str, parameters: tuple[object, ...] = ()) -> list[object]:
        if "transactions" in statement:
            plan = read(f"EXPLAIN QUERY PLAN {statement}", parameters)
            scanned.extend(row[3] for row in plan if row[3] == "SCAN transactions")
        return read(statement, parameters)

    monkeypatch.setattr(journal.store, "read", explained)
    journal.transactions("committed")
    assert scanned  # all of them are wanted
    scanned.clear()
    journal.recover()
    current_entries(journal.store, ended=50)
    assert scanned == []
