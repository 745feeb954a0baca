"""``actionqueues watch`` where there is no terminal: a line for each change, for a file, a pipe, or a log."""

from __future__ import annotations

import io
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from actionqueues import cli, transaction
from actionqueues.cli import watching
from actionqueues.journal import Journal

from . import actions
from .actions import failing
from .leaving import edit, leave
from .terminal import Terminal, command, environment

TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


class Output:
    """What is printed into a pipe, line by line, without the times."""

    def __init__(self, file: int) -> None:
        self._file, self._rest = file, b""
        self.lines: list[str] = []

    def until(self, *lines: str) -> None:
        """Read until these have come last, each as the beginning of one."""
        while not self._ends_with(lines):
            assert select.select([self._file], (), (), 30)[0], self.lines
            *whole, self._rest = (self._rest + os.read(self._file, 65536)).split(b"\n")
            self.lines += [TIME.sub("", line.decode()) for line in whole]

    def _ends_with(self, lines: tuple[str, ...]) -> bool:
        last = self.lines[-len(lines) :]
        return len(last) == len(lines) and all(map(str.startswith, last, lines))


@contextmanager
def told(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Output]:
    """Watch in this process, in another thread, until nobody reads any more."""
    read, write = os.pipe()
    status: list[int] = []
    with open(write, "w", encoding="utf-8") as out, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        patched.setattr(sys, "path", [*sys.path])
        thread = Thread(target=lambda: status.append(cli.main(["watch", str(path)])))
        thread.start()
        try:
            yield Output(read)
        finally:
            os.close(read)
            thread.join()
    assert status == [0]


def test_every_change_is_a_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction("long ago", journal=path):
        actions.put("a")
    leave(path, lambda q: actions.put("b"))
    failing["-b"] = OSError("gateway")
    with told(path, monkeypatch) as output:
        output.until("2 left: open: its process has died")
        with transaction("sign-up", journal=path):
            actions.put("c")
            output.until("3 sign-up: opened")
        output.until("3 sign-up: committed")
        with pytest.raises(ValueError, match="card"), transaction("at once\n", journal=path):
            actions.put("d")
            raise ValueError("no such card")
        output.until(r"4 at once\n: opened", r"4 at once\n: rolled back: ValueError('no such card')")
        Journal(path).recover()
        output.until("2 left: stuck: tests.journal.actions:put: OSError('gateway')")
        failing.clear()
        Journal(path).recover()
        output.until("2 left: rolled back")
        Journal(path).prune()
    assert len(output.lines) == 7


def test_hooks_that_are_due_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(path):
        pass
    with told(path, monkeypatch) as output:
        failing["!x True"] = OSError("not now")
        with pytest.raises(ExceptionGroup), transaction("hooked", journal=path) as q:
            actions.put("a")
            q.on_commit(actions.tell, "x")
        output.until("1 hooked: committed: commit hook tests.journal.actions:tell: OSError")


def test_a_file_that_is_removed_is_told_and_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    with told(path, monkeypatch) as output:
        output.until("1 left: open: its process has died")
        leave(path, lambda q: actions.put("b"))
        output.until("2 left: opened", "2 left: open: its process has died")
        Journal(path).close()
        path.rename(path.with_name("elsewhere.db"))
        output.until(f"the journal {str(path)!r} is not there any more; waiting for it")
        path.with_name("elsewhere.db").rename(path)
        output.until("1 left: open: its process has died", "2 left: open: its process has died", "it is there again")


class Elsewhere(io.StringIO):
    """The output of a program that has replaced it; something happens once it is watched, and interrupts it."""

    encoding = "utf-8"

    def __init__(self, later: Thread) -> None:
        super().__init__()
        self._later = later

    def flush(self) -> None:
        if self._later.ident is None:
            self._later.start()
        if self.getvalue():
            self.seek(0)
            self.truncate()
            raise KeyboardInterrupt


@pytest.mark.parametrize(("poll", "term"), [(True, "xterm"), (False, "dumb")])
def test_where_nobody_can_say_whether_somebody_reads_it_goes_on(
    poll: bool, term: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(path):
        pass
    if not poll:
        monkeypatch.delattr(select, "poll")
    later = Thread(target=lambda: leave(path, lambda q: actions.put("a")))
    monkeypatch.setattr(sys, "stdout", Elsewhere(later))
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(watching, "_ASKS", 0.001)  # so often that nothing has changed meanwhile
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert cli.main(["watch", str(path)]) == 130
    later.join()


# -- in a process of its own


@contextmanager
def process(path: Path, *, out: int = subprocess.PIPE, **more: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        command("watch", str(path)),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return TIME.sub("", child.stdout.readline())


def test_each_line_is_there_at_once_and_ctrl_c_ends_it(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    with process(path) as child:
        assert line_of(child) == "1 left: open: its process has died\n"
        with transaction("\x1b[2J 日本", journal=path):
            actions.put("b")
        assert [line_of(child), line_of(child)] == ["2 \\x1b[2J 日本: opened\n", "2 \\x1b[2J 日本: committed\n"]
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_a_reader_that_goes_away_ends_it_though_nothing_happens(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    with process(path) as child:
        line_of(child)
        assert child.stdout is not None
        child.stdout.close()
        child.stdout = None
        assert child.wait(60) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_be_drawn_on_has_lines(term: str, path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    with Terminal() as terminal, process(path, out=terminal.slave, TERM=term) as child:
        terminal.read(lambda: terminal.output.endswith("1 left: open: its process has died\r\n"))
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
        assert "\x1b" not in terminal.output


def test_what_is_no_journal_is_an_error_of_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", str(path)]) == 2
    assert capsys.readouterr().err == f"actionqueues: there is no journal {str(path)!r}: it is not there\n"


def test_damage_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction("sign-up", journal=path):
        actions.put("a")
    edit(path, "UPDATE transactions SET ended = x'00', started = 7, name = x'01'")
    with told(path, monkeypatch) as output:
        output.until(r"7 1 b'\x01': stuck: damaged: name is X'01'")
