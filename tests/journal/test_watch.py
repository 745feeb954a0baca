"""``actionqueues watch`` on a terminal: what is drawn, and what keys do."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal

from . import actions
from .actions import failing
from .leaving import edit, leave
from .terminal import Terminal
from .watched import watched

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)


def test_what_is_left_running_and_recent_is_listed_in_this_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    with pytest.raises(ValueError, match="card"), transaction("refused", journal=path):
        actions.put("b")
        raise ValueError("no such card")

    def script(terminal: Terminal) -> None:
        screen = terminal.shows("1 left, 1 running", "put")
        assert screen[0].startswith(f"1 left, 1 running  {path}"[:79])
        assert [re.sub(r"\d+ s  ", "AGE  ", line) for line in screen[1:8]] == [
            "  ID  AGE  STEPS  STATE        NAME         WHY",
            "Left",
            "▸ 1   AGE  1      open         left         its process has died",
            "Running",
            "  3   AGE  1      running      in progress  put",
            "Recent",
            "  2   AGE  1      rolled back  refused      ValueError('no such card')",
        ]
        terminal.press("q")

    with transaction("in progress", journal=path):
        actions.put("c")
        watched(monkeypatch, path, script)


def test_what_happens_is_seen_while_it_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(path):
        pass

    def script(terminal: Terminal) -> None:
        terminal.shows("No transaction has been recorded yet.")
        terminal.press("j\r?")  # there is nothing to choose
        terminal.shows("Page Up")
        terminal.press("q")
        terminal.shows("No transaction has been recorded yet.")
        with transaction("sign-up", journal=path):
            actions.put("a")
            terminal.shows("Running", "sign-up")
        terminal.shows("Recent", "committed", without="Running")
        leave(path, lambda q: actions.put("b"))
        terminal.shows("its process has died")
        failing["-b"] = OSError("gateway")
        Journal(path).recover()
        terminal.shows("stuck", "OSError('ga")
        failing.clear()
        Journal(path).recover()
        terminal.shows("0 running", without="stuck")
        terminal.press("q")

    watched(monkeypatch, path, script)


def test_nothing_is_written_while_nothing_has_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction("long ago", journal=path):
        actions.put("a")
    edit(path, "UPDATE transactions SET started = '2001-01-01', ended = '2001-01-02'")

    def script(terminal: Terminal) -> None:
        terminal.shows("long ago", " d ")
        for _ in range(5):
            terminal.press("x")  # no key of ours
        terminal.press("?")
        terminal.shows("Page Up")
        assert len(terminal.frames) == 2
        terminal.press("qq")

    terminal = watched(monkeypatch, path, script)
    assert len(terminal.frames) == 3


def test_the_timeline_of_a_transaction_is_opened_and_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        with pytest.raises(ValueError, match="card"), transaction(name, journal=path):
            actions.put(name)
            raise ValueError("no such card")

    def script(terminal: Terminal) -> None:
        terminal.shows("▸ 2", "first")
        terminal.press("\x1b[B")
        terminal.shows("▸ 1")
        terminal.press("\r")
        screen = terminal.shows("Transaction 1", "rolling back", "Esc back")
        assert any("first rolled back: after ValueError('no such card')" in line for line in screen)
        edit(path, "DELETE FROM transactions WHERE id = 1")
        terminal.shows("It is not in the journal any more")
        terminal.press("\x1b")
        terminal.shows("▸ 2", without="first")
        terminal.press("\x1b")  # from the list, it is the end

    watched(monkeypatch, path, script)


def test_what_is_chosen_stays_so_when_it_moves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second", "third"):
        with transaction(name, journal=path):
            actions.put(name)

    def script(terminal: Terminal) -> None:
        terminal.shows("▸ 3")
        terminal.press("j")
        terminal.shows("▸ 2")
        with transaction("fourth", journal=path):
            actions.put("d")
        screen = terminal.shows("fourth", "▸ 2")
        assert next(line for line in screen if "▸" in line).split()[1] == "2"
        terminal.press("g")
        terminal.shows("▸ 4")
        with transaction("fifth", journal=path):  # the first one is whatever stands there
            actions.put("e")
        terminal.shows("▸ 5")
        terminal.press("Gk")
        terminal.shows("▸ 2")
        terminal.press("jjj")
        terminal.shows("▸ 1")
        terminal.press("q")

    watched(monkeypatch, path, script)


def test_more_than_there_is_room_for_is_scrolled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="x"), transaction("long", journal=path):
        for number in range(9):
            getattr(actions, ("put", "create", "probed")[number % 3])(f"number {number}")
        raise ValueError("x")
    for number in range(30):
        with transaction(f"name {number}", journal=path):
            actions.put("a")

    def script(terminal: Terminal) -> None:
        assert len(terminal.shows("▸ 31")) == 12
        terminal.press("\x1b[6~\x1b[6~")
        terminal.shows("▸ 11")
        terminal.press("\x1b[5~")
        terminal.shows("▸ 21")
        edit(path, "DELETE FROM transactions WHERE id BETWEEN 3 AND 30")
        terminal.press("G\r")
        terminal.shows("Transaction 1 ", "number 0")
        terminal.press("\x1b[F")
        terminal.shows("Transaction 1 ", "number 8", without="long rolled back")
        terminal.press("\x1b[H")
        terminal.shows("long rolled back")
        terminal.press("\x1b[A\x1b[Z")  # no further; and a key that is none of ours, which sends an escape as well
        terminal.shows("long rolled back")
        terminal.press("qq")

    watched(monkeypatch, path, script, size=(60, 12))


@pytest.mark.parametrize("size", [(20, 24), (20, 5), (80, 5), (1, 1), (7, 2), (300, 3)])
def test_no_terminal_is_too_small(size: tuple[int, int], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    for _ in range(5):
        with transaction("sign-up of somebody 日本語", journal=path):
            actions.put("a")

    def script(terminal: Terminal) -> None:
        terminal.read(lambda: terminal.frames)
        for keys in ("j", "\r", "q", "?", "q"):
            count = len(terminal.frames)
            terminal.press(keys)
            if size[0] >= 20:
                terminal.read(lambda: len(terminal.frames) > count)  # noqa: B023 - it is called at once
        terminal.press("q")

    terminal = watched(monkeypatch, path, script, size=size)
    for frame in terminal.frames:
        assert len(frame) <= size[1]
        assert max(len(line) + sum(char in "日本語" for char in line) for line in frame) <= size[0]


def test_it_is_drawn_again_when_the_size_is_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction("sign-up", journal=path):
        actions.put("a")

    def script(terminal: Terminal) -> None:
        assert len(terminal.shows("sign-up")) == 24
        terminal.resize(40, 7)
        os.kill(os.getpid(), signal.SIGWINCH)  # which the system sends to those whose terminal it is
        terminal.read(lambda: len(terminal.screen) == 7)
        terminal.press("q")

    watched(monkeypatch, path, script)


def test_a_size_that_nobody_knows_is_80_by_24(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction("sign-up", journal=path):
        actions.put("a")

    def script(terminal: Terminal) -> None:
        assert len(terminal.shows("sign-up")) == 24
        terminal.press("q")

    watched(monkeypatch, path, script, size=(0, 0))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_does_not_know_all_characters_has_ascii(
    encoding: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction("日本 ü", journal=path):
        actions.put("é")

    def script(terminal: Terminal) -> None:
        terminal.shows("> 1", r"\u65e5\u672c \xfc")
        terminal.press("\r")
        terminal.shows("Transaction 1", "+ put", r"name='\xe9'")
        terminal.press("qq")

    terminal = watched(monkeypatch, path, script, encoding=encoding)
    assert terminal.output.isascii()


def test_names_do_nothing_to_the_terminal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\r\n\x9b31m\u202egnp\u2028\ud800"
    journal = path.with_name("actions\x1b[31m.db")
    with pytest.raises(ValueError, match="2J"), transaction(evil, journal=journal):
        actions.put(evil)
        raise ValueError(evil)

    def script(terminal: Terminal) -> None:
        terminal.shows("rolled back", r"\x1b[2J")
        terminal.press("\r")
        terminal.shows("Transaction 1", "put")
        terminal.press("qq")

    terminal = watched(monkeypatch, journal, script)
    for bad in ("\x1b[2J\x1b]", "\x07", "\x9b", "\u202e", "\u2028", "\x1b[31m.db"):
        assert bad not in terminal.output
    Journal(journal).close()


def test_colours_are_left_out_where_nobody_wants_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))

    def script(terminal: Terminal) -> None:
        terminal.shows("its process has died")
        terminal.press("q")

    assert "\x1b[31;7m" in watched(monkeypatch, path, script).output
    assert not re.search(r"\x1b\[[0-9;]*m", watched(monkeypatch, path, script, NO_COLOR="1").output)


def test_a_file_that_is_removed_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = path.with_name("other.db")
    for each, name in ((path, "the first one"), (other, "another one")):
        with Journal(each) as journal, transaction(name, journal=journal):
            actions.put("a")

    def script(terminal: Terminal) -> None:
        terminal.shows("the first one")
        for end in ("", "-wal", "-shm", "-owners"):
            path.with_name(f"actions.db{end}").unlink(missing_ok=True)
        terminal.shows("is not there any more; waiting for it", without="the first one")
        assert not path.exists()
        path.touch()
        other.rename(path)
        terminal.shows("another one", without="waiting for it")
        terminal.press("q")

    watched(monkeypatch, path, script)


def test_a_file_that_is_replaced_is_opened_again_and_a_broken_one_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, broken = path.with_name("other.db"), path.with_name("broken.db")
    for each, name in ((path, "the first one"), (other, "another one")):
        with Journal(each) as journal, transaction(name, journal=journal):
            actions.put("a")
    broken.write_bytes(b"hello" * 1000)

    def script(terminal: Terminal) -> None:
        terminal.shows("the first one")
        terminal.press("\r")
        terminal.shows("Transaction 1")
        other.rename(path)
        terminal.shows("another one")
        terminal.press("q")
        broken.rename(path)
        terminal.shows("is no SQLite file")
        terminal.press("q")

    watched(monkeypatch, path, script)


def test_what_somebody_has_written_into_the_file_is_shown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with transaction("sign-up", journal=path):
            actions.put("a")
    edit(path, "UPDATE transactions SET ended = NULL, started = x'00', name = x'01' WHERE id = 1")
    edit(path, "UPDATE transactions SET ended = '2999-99-99 25:00' WHERE id = 2")

    def script(terminal: Terminal) -> None:
        terminal.shows("stuck", "damaged: name is X'01'", "?")
        terminal.press("q")

    watched(monkeypatch, path, script, size=(100, 20))
