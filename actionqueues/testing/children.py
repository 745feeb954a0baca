"""Child processes that call a function and may be killed meanwhile: forked, or started anew where there is no fork.

Stands on the operating system.  Used by the fault ``crash``.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from .handlers import WATCHING

__all__ = ["PATIENCE", "Child", "can_fork", "can_spawn", "in_child", "kill_this_process"]

#: How long a child process, or a thread that a scenario has started, may take to end, in seconds.
PATIENCE = 30.0

_SEEN = b"\0"  # before the handlers that have run, where else there is a traceback
_KILL = 9  # signal.SIGKILL, which Windows has no name for; its processes end with this code


@dataclass(frozen=True)
class Child:
    """How a child process ended.

    Attributes:
        killed: whether it was killed, as was meant.
        error: the traceback of what it raised, or empty.
    """

    killed: bool
    error: str


def can_fork() -> bool:
    """Whether this platform makes children that share what their parent has in memory."""
    return hasattr(os, "fork")


def can_spawn(*things: object) -> bool:
    """Whether these things can be handed over to a process that is started anew."""
    try:
        pickle.dumps(things)
    except Exception:  # pickling raises whatever it likes
        return False
    return True


def in_child(function: Callable[[], object]) -> Child:
    """Call a function in a child process, and wait for that.

    It has a copy of all that this process has in memory, if there is `os.fork`.  Otherwise it is started anew, and the
    function is pickled.
    """
    return _forked(function) if can_fork() else _spawned(function)


def kill_this_process() -> None:  # pragma: no cover - a killed process tells nobody what it has run
    """End as by a power switch: nothing is flushed, closed or called."""
    os.kill(os.getpid(), _KILL)
    cast("Any", signal).pause()


def _traceback(error: BaseException) -> str:  # pragma: no cover - runs in the child
    return "".join(traceback.format_exception(error))[-60000:]


def _too_long() -> str:
    return f"the child process did not end within {PATIENCE:.0f} s"


def _forked(function: Callable[[], object]) -> Child:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that the child will not have
        pid = os.fork()
    if pid == 0:  # pragma: no cover - it ends without telling what it has run
        try:
            os.close(reading)
            function()
            os.write(writing, _SEEN + json.dumps([each.states_as_data() for each in WATCHING]).encode())
        except BaseException as raised:
            os.write(writing, _traceback(raised).encode())
        finally:
            os._exit(0)
    os.close(writing)
    chunks: list[bytes] = []
    try:
        while select.select([reading], [], [], PATIENCE)[0] and (chunk := os.read(reading, 65536)):
            chunks.append(chunk)
        if not select.select([reading], [], [], 0)[0]:
            os.kill(pid, _KILL)
            chunks = [_too_long().encode()]
    finally:
        os.close(reading)
        _, status = os.waitpid(pid, 0)
    told = b"".join(chunks)
    if told.startswith(_SEEN):
        for coverage, states in zip(WATCHING, json.loads(told.removeprefix(_SEEN)), strict=True):
            coverage.include_states(states)
        told = b""
    error = told.decode(errors="replace")
    return Child(os.WIFSIGNALED(status) and os.WTERMSIG(status) == _KILL and not error, error)


def _spawned(function: Callable[[], object]) -> Child:
    import multiprocessing  # only where it is needed

    spawning = multiprocessing.get_context("spawn")
    reading, writing = spawning.Pipe(duplex=False)
    child = spawning.Process(target=_call_and_tell, args=(function, writing))
    child.start()
    writing.close()
    told = ""
    try:
        if reading.poll(PATIENCE):
            told = str(reading.recv())
        else:
            told = _too_long()
            child.kill()
    except EOFError:  # it was killed
        pass
    finally:
        reading.close()
        child.join()
    return Child(child.exitcode in (-_KILL, _KILL) and not told, told)


def _call_and_tell(function: Callable[[], object], writing: Any) -> None:  # pragma: no cover - runs in the child
    try:
        function()
    except BaseException as error:
        writing.send(_traceback(error))
    else:
        writing.send("")
