"""Every way out of ``actionqueues watch``: the terminal is given back, and who waits sees what has ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from actionqueues import transaction

from . import actions
from .leaving import leave
from .terminal import Terminal, command, environment
from .watched import watched

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)


@contextmanager
def process(path: Path, terminal: Terminal, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Watch in a process whose controlling terminal this is."""
    child = subprocess.Popen(
        [sys.executable, "-c", STARTER, *command("watch", str(path))],
        stdin=terminal.slave,
        stdout=terminal.slave,
        stderr=terminal.slave,
        start_new_session=True,
        env=environment(**more),
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


#: Makes the terminal the controlling one of a session, as a shell does, and starts it there; when it stops, the
#: terminal is the shell's, until it is given a line.
STARTER = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(child, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpid())
    if not os.WIFSTOPPED(status):
        break
    os.write(1, b"stopped")
    os.read(0, 100)
    os.tcsetpgrp(0, child)
    os.kill(child, signal.SIGCONT)
code = os.waitstatus_to_exitcode(status)
if code >= 0:
    os._exit(code)
signal.signal(-code, signal.SIG_DFL)
os.kill(os.getpid(), -code)
"""


def ended(child: subprocess.Popen[bytes], terminal: Terminal) -> int:
    terminal.read(lambda: child.poll() is not None)
    assert child.returncode is not None
    return child.returncode


def test_an_interrupt_from_elsewhere_ends_it_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction("sign-up", journal=path):
        actions.put("a")

    def script(terminal: Terminal) -> None:
        terminal.shows("sign-up")
        os.kill(os.getpid(), signal.SIGINT)

    watched(monkeypatch, path, script, expected=130)


def test_a_terminal_that_cannot_be_set_is_left_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actionqueues.cli.screen import Screen

    with Terminal() as terminal, open(terminal.slave, closefd=False) as keys, open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdin", keys)
        monkeypatch.setattr(sys, "stdout", full)
        handler = signal.getsignal(signal.SIGINT)
        with pytest.raises(EOFError), Screen():
            pass
        assert terminal.modes == terminal.before
        assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_ends_it_with_130(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    with Terminal() as terminal, process(path, terminal) as child:
        terminal.shows("its process has died")
        terminal.press("\x03")
        assert ended(child, terminal) == 130
        terminal.read(lambda: terminal.restored)
        assert "Traceback" not in terminal.output
        assert "interrupted" not in terminal.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_as_it_ends_others(number: signal.Signals, path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    with Terminal() as terminal, process(path, terminal) as child:
        terminal.shows("its process has died")
        os.kill(os.tcgetpgrp(terminal.master), number)
        assert ended(child, terminal) == -number
        terminal.read(lambda: terminal.restored)
        assert "Traceback" not in terminal.output


def test_a_terminal_that_is_closed_ends_it(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    with Terminal() as terminal, process(path, terminal) as child:
        terminal.shows("its process has died")
        os.close(terminal.slave)
        os.close(terminal.master)
        assert child.wait(60) in (-signal.SIGHUP, 0)


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    with Terminal() as terminal, process(path, terminal) as child:
        terminal.shows("its process has died")
        terminal.press("\x1a")
        terminal.read(lambda: "stopped" in terminal.output)
        count = len(terminal.frames)
        assert terminal.restored
        terminal.press("fg\n")
        terminal.read(lambda: len(terminal.frames) > count)
        terminal.press("?")
        terminal.shows("Page Up")
        terminal.press("qq")
        assert ended(child, terminal) == 0
        terminal.read(lambda: terminal.restored)


def test_an_error_gives_the_terminal_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actionqueues.cli.pages import Pages

    with transaction("sign-up", journal=path):
        actions.put("a")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Pages, "lines", fail)
    with pytest.raises(ZeroDivisionError):
        watched(monkeypatch, path, lambda terminal: terminal.read(lambda: terminal.restored))


def test_a_terminal_that_has_gone_is_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actionqueues.cli.screen import Screen

    read, write = os.pipe()
    with Terminal() as terminal, open(read) as nothing, open(terminal.slave, "w", closefd=False) as out:
        monkeypatch.setattr(sys, "stdin", open(terminal.slave, closefd=False))  # noqa: SIM115 - closed with its terminal
        monkeypatch.setattr(sys, "stdout", out)
        with Screen() as screen:
            os.close(write)
            screen._in = nothing.fileno()
            with pytest.raises(EOFError):
                screen.key(60)
            full = os.open("/dev/full", os.O_WRONLY)
            screen._out = full
            with pytest.raises(EOFError):
                screen.draw([("text", "")])
            assert screen.size() == (80, 24)
            os.close(full)
            screen._in, screen._out = terminal.slave, terminal.slave


@pytest.mark.parametrize("keys", ["\x1b[", "\x1bO"])
def test_a_key_that_comes_in_two_parts_is_one_key(keys: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actionqueues.cli.screen import Screen

    with (
        Terminal() as terminal,
        open(terminal.slave, closefd=False) as inp,
        open(terminal.slave, "w", closefd=False) as o,
    ):
        monkeypatch.setattr(sys, "stdin", inp)
        monkeypatch.setattr(sys, "stdout", o)
        with Screen() as screen:
            terminal.press("\x1b")
            later = Thread(target=lambda: terminal.press(f"{keys[1]}B"))
            later.start()
            found = [screen.key(60)]
            later.join()
            assert found[0] in ("down", "back")  # whichever comes first
