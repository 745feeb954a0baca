"""``actionqueues recover --watch``: a line for each thing that is new, whatever goes wrong, until a signal comes."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from actionqueues import cli
from actionqueues.journal import Journal

from . import actions
from .actions import failing, trail
from .leaving import edit, leave, leave_async
from .rounds import began, go, held, held_by_a_file, states, until
from .terminal import command, environment
from .test_recovery import put_both

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

Lines = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def afresh_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    began.clear()
    go.clear()
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def watched(
    monkeypatch: pytest.MonkeyPatch, path: Path | str, script: Callable[[Lines], object], *options: str
) -> list[str]:
    """Recover in this thread until a script, in another one, has seen enough and presses Ctrl-C; returns the lines."""
    failures: list[BaseException] = []
    out = io.StringIO()

    def run() -> None:
        try:
            until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)  # it has begun
            script(lambda: out.getvalue().splitlines())
        except BaseException as error:
            failures.append(error)
        os.kill(os.getpid(), signal.SIGINT)

    thread = Thread(target=run)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        thread.start()
        status = cli.main(["recover", str(path), "--watch", "0.005", *options])
        thread.join()
    if failures:
        raise failures[0]
    assert status == 130
    return out.getvalue().splitlines()


def test_what_is_recovered_and_what_is_not_is_told_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    leave(path, lambda q: (actions.put("b"), actions.put("c")))
    leave_async(path, put_both)
    trail.clear()
    failing["-b"] = OSError("not now")

    def script(lines: Lines) -> None:
        until(lambda: trail.count("-b") > 3)
        failing["-b"] = OSError("still\nnot")
        until(lambda: len(lines()) == 4)
        failing.clear()
        until(lambda: len(lines()) == 5)

    assert watched(monkeypatch, path, script) == [
        "1 left: rolled back, 1 undone",
        "2 left: stuck, 1 undone, tests.journal.actions:put: OSError('not now')",
        "3 left: rolled back, 2 undone",
        "2 left: stuck, tests.journal.actions:put: OSError('still\\nnot')",
        "2 left: rolled back, 1 undone",
    ]


def test_where_nothing_is_left_nothing_is_printed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    Journal(path).recover()
    assert watched(monkeypatch, path, lambda _: None) == []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("odd")], ids=repr)
def test_what_a_handler_raises_ends_nothing(error: BaseException, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    leave(path, lambda q: actions.put("b"))
    failing["-a"] = error

    def script(lines: Lines) -> None:
        until(lambda: trail.count("-a") > 2)
        failing.clear()
        until(lambda: states(path) == ["rolled back", "rolled back"])
        until(lambda: len(lines()) > 2)

    assert watched(monkeypatch, path, script) == [
        f"1 left: stuck, its recovery was ended by {error!r}",
        "2 left: rolled back, 1 undone",
        "1 left: rolled back, 1 undone",
    ]


def test_a_file_that_goes_away_is_waited_for_and_never_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    with Journal(path):
        pass  # so that all is in the file itself
    copy = path.with_suffix(".copy")
    shutil.copyfile(path, copy)

    def script(lines: Lines) -> None:
        until(lambda: len(lines()) == 1)
        for each in ("", "-wal", "-shm", "-owners"):
            Path(f"{path}{each}").unlink(missing_ok=True)
        until(lambda: "waiting for it" in lines()[-1])
        assert not path.exists()
        copy.rename(path)
        until(lambda: lines().count(lines()[0]) == 2)

    told = watched(monkeypatch, path, script)
    assert (told[0], told[-1]) == ("1 left: rolled back, 1 undone",) * 2
    assert told[1].startswith((f"the journal {str(path)!r} is not there any more", f"journal {str(path)!r}: has been"))
    assert "it can be recovered again" in told


def test_a_damaged_row_and_a_locked_file_stop_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    leave(path, lambda q: actions.put("b"))
    edit(path, "UPDATE steps SET name = X'00' WHERE tx = 1")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as db:
        journal = Journal(path, busy_timeout=0.001)  # which the command shares
        journal.store.owner  # noqa: B018 - its row cannot be written either
        db.execute("BEGIN IMMEDIATE")

        def script(lines: Lines) -> None:
            until(lambda: len(lines()) == 1)
            db.execute("ROLLBACK")
            until(lambda: len(lines()) == 4)

        told = watched(monkeypatch, path, script)
    assert "locked" in told[0]
    assert sorted(told[1:]) == [
        f"1 left: stuck, {Journal(path).show(1).reason}",
        "2 left: rolled back, 1 undone",
        "it can be recovered again",
    ]


def test_modules_are_imported_once_and_a_module_may_make_the_journal(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, lambda q: actions.put("a"))
    monkeypatch.chdir(tmp_path)
    Path("watched_jobs.py").write_text(
        "from pathlib import Path\nfrom actionqueues.journal import Journal\n"
        f"with Path('imported').open('a') as file:\n    file.write('.')\njournal = Journal({str(path)!r})\n"
    )
    told = watched(
        monkeypatch, "watched_jobs:journal", lambda lines: until(lambda: len(lines()) == 1), "--import", "watched_jobs"
    )
    assert told == ["1 left: rolled back, 1 undone"]
    assert Path("imported").read_text() == "."


def test_the_log_is_printed_if_it_is_wanted_and_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "actionqueues")
    leave(path, lambda q: actions.put("a"))
    failing["-a"] = OSError("not now")
    watched(monkeypatch, path, lambda _: until(lambda: len(trail) > 3), "--traceback")
    assert caplog.messages == ["left: the undo of put failed: OSError('not now')"]


def test_ctrl_c_waits_for_what_is_being_undone_and_leaves_the_rest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: held("a"))
    leave(path, lambda q: actions.put("b"))
    pressed: list[Thread] = []

    def script(_: Lines) -> None:
        assert began.wait(30)
        pressed.append(Thread(target=lambda: (until(lambda: arrived), go.set())))
        pressed[0].start()

    arrived: list[BaseException] = []
    from actionqueues.core.interrupts import InterruptGuard

    real = InterruptGuard.arrived

    def noted(guard: InterruptGuard, interrupt: BaseException) -> None:
        real(guard, interrupt)
        arrived.append(interrupt)

    monkeypatch.setattr(InterruptGuard, "arrived", noted)
    assert watched(monkeypatch, path, script) == []
    pressed[0].join()
    assert trail == ["-a begun", "-a"]
    assert states(path) == ["rolled back", "open"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_a_process_of_its_own_a_signal_ends_it_in_order(number: signal.Signals, path: Path) -> None:
    folder = path.parent
    leave(path, lambda q: (actions.put("b"), held_by_a_file(str(folder))))
    arguments = ("recover", str(path), "--import", "tests.journal.rounds", "--import", "tests.journal.actions")
    root = str(Path(__file__).parent.parent.parent)
    child = subprocess.Popen(
        command(*arguments, "--watch", "3600"),
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: (folder / "begun").exists() or child.poll() is not None)
    child.send_signal(number)
    (folder / "go").touch()
    output, errors = child.communicate(timeout=60)
    assert child.returncode == (130 if number == signal.SIGINT else -signal.SIGTERM)
    assert errors == b""
    assert states(path) == ["rolled back"]
    assert output in (b"", b"1 left: rolled back, 2 undone\n")


def test_a_signal_ends_one_that_waits_for_the_next_round(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    root = str(Path(__file__).parent.parent.parent)
    arguments = ("recover", str(path), "--import", "tests.journal.actions", "--watch", "3600")
    child = subprocess.Popen(command(*arguments), cwd=root, env=environment(), stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"1 left: rolled back, 1 undone\n"
    child.terminate()
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGTERM
