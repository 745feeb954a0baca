"""`Killer`: what kills its own process with SIGKILL, at a chosen moment."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import actionqueues
from actionqueues.journal.connections import Connections


class Killer:
    """Kills this process at the n-th of something; writes down how many there were if it survives."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def at_statements(self) -> None:
        """Before each statement that the writer of the journal executes."""
        connect, killer = Connections._connect, self

        def traced(self: Connections) -> Any:
            db = connect(self)
            db.set_trace_callback(killer)
            return db

        Connections._connect = traced  # type: ignore[method-assign] # a process of its own

    def at_lines(self) -> None:
        """Before each line of the package."""
        package = os.path.dirname(actionqueues.__file__)

        def line(_frame: FrameType, event: str, _arg: object) -> Any:
            if event == "line":
                self()
            return line

        def enter(frame: FrameType, _event: str, _arg: object) -> Any:
            return line if frame.f_code.co_filename.startswith(package) else None

        sys.settrace(enter)
