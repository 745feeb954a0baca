"""What was done by hand, and cannot be recorded, is undone by this process nevertheless."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import NotRecordable, durable

from . import actions
from .actions import trail
from .test_unrecordable_results import all_closed, connection, nothing_open, opened

__all__ = ["nothing_open"]


@durable
def by_hand(sock: socket.socket) -> None:
    sock.close()


def unmarked(name: str) -> None:
    trail.append(f"-{name}")


def test_what_was_done_by_hand_and_cannot_be_recorded_is_undone_with_the_rest(path: Path) -> None:
    with pytest.raises(NotRecordable, match="'sock' of by_hand"), transaction(journal=path) as q:
        actions.put("a")
        q.on_rollback(by_hand, connection())
    assert (trail, all_closed(), q.report.clean) == (["+a", "-a"], True, True)
    with pytest.raises(NotRecordable, match="unmarked may not be called by recovery"), transaction(journal=path) as q:
        q.on_rollback(unmarked, "b")
    assert trail[2:] == ["-b"]


def test_who_catches_that_goes_on_with_an_undo_in_this_process(path: Path) -> None:
    with pytest.raises(LookupError), transaction(journal=path) as q:
        with pytest.raises(NotRecordable):
            q.on_rollback(by_hand, connection())
        raise LookupError
    assert all_closed()
    opened.clear()
    with transaction(journal=path) as q, pytest.raises(NotRecordable):
        q.on_rollback(by_hand, connection())
    assert (q.state, all_closed()) == ("committed", False)


def test_an_undo_by_hand_that_fails_is_told_of_though_it_is_not_in_the_file(path: Path) -> None:
    @durable
    def fails(sock: socket.socket) -> None:
        raise OSError("not now")

    with pytest.raises(NotRecordable) as caught, transaction(journal=path) as q:
        q.on_rollback(fails, connection())
    assert [failure.step.name for failure in q.report.failures] == ["fails"]
    assert "OSError('not now')" in str(caught.value.__notes__)
